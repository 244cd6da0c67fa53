import { FewbitError } from './errors.ts';

/** An address as the page means it. */
export function resolve(url: string | URL): string {
  try {
    return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  } catch (error) {
    throw new FewbitError('usage', `${String(url)} is not an address`, { cause: error });
  }
}
