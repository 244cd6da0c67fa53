import { FewbitError, throwIfAborted } from './errors.ts';
import { fetchBlob } from './fetch.ts';
import type { ImageSource } from './types.ts';

/** What crosses to the engine: everything here survives structured cloning. */
export type SentImage = string | Blob | ImageBitmap | ImageData;

/** Pixels as a canvas gives them: `[height, width, 4]`, 8 bits. */
export interface Pixels {
  rgba: Uint8Array;
  width: number;
  height: number;
}

// The file's own values: no conversion to the screen's colours, no alpha multiplied in.
const EXACT: ImageBitmapOptions = { colorSpaceConversion: 'none', premultiplyAlpha: 'none' };

/**
 * Turns a source that only the page can read (elements, frames) into one that a worker can.
 * Bitmaps made here are owned by the receiver; a bitmap that the caller passed in is left alone.
 */
export async function sendable(image: ImageSource): Promise<{ image: SentImage; transfer: Transferable[] }> {
  if (typeof image === 'string' || image instanceof URL) {
    return { image: new URL(image, globalThis.document?.baseURI ?? globalThis.location.href).href, transfer: [] };
  }
  if (image instanceof Blob || image instanceof ImageBitmap || image instanceof ImageData) {
    return { image, transfer: [] };
  }
  const bitmap = await bitmapOf(image);
  return { image: bitmap, transfer: [bitmap] };
}

/** Fetches and decodes as far as needed. Runs in the engine. */
export async function toPixels(image: SentImage, signal?: AbortSignal): Promise<Pixels> {
  if (image instanceof ImageData) return pixelsOf(image);
  if (image instanceof ImageBitmap) return draw(image);
  const blob = typeof image === 'string' ? await fetchBlob('image', image, signal) : image;
  const bitmap = await bitmapOf(blob);
  try {
    throwIfAborted(signal);
    return draw(bitmap);
  } finally {
    bitmap.close();
  }
}

async function bitmapOf(source: ImageBitmapSource): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(source, EXACT);
  } catch (error) {
    throw new FewbitError('unsupported', 'this image cannot be decoded; use a JPEG, PNG, WebP, GIF or AVIF', {
      cause: error,
    });
  }
}

function draw(bitmap: ImageBitmap): Pixels {
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new FewbitError('out-of-memory', `no canvas of ${width}×${height} pixels to be had`);
  context.drawImage(bitmap, 0, 0);
  return pixelsOf(context.getImageData(0, 0, width, height));
}

function pixelsOf({ data, width, height }: ImageData): Pixels {
  return { rgba: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), width, height };
}
