import { FewbitError, throwIfAborted } from './errors.ts';

/** The body behind an address; `what` names it in messages. */
export async function fetchBlob(what: string, url: string, signal?: AbortSignal): Promise<Blob> {
  let response: Response;
  try {
    response = await fetch(url, signal ? { signal } : {});
  } catch (error) {
    throwIfAborted(signal);
    throw new FewbitError('network', `cannot fetch the ${what} ${url}`, { cause: error });
  }
  if (!response.ok) throw new FewbitError('network', `cannot fetch the ${what} ${url}: HTTP status ${response.status}`);
  return response.blob();
}
