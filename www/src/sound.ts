import { FewbitError } from './index.ts';
import type { AudioSource } from './types.ts';

/** Samples of one channel, and how many there are a second. */
export interface Samples {
  samples: Float32Array;
  rate: number;
}

/** What crosses to the engine: everything here survives structured cloning. */
export type SentSound = string | Blob | Samples;

/** Turns what only the page can read into samples that a worker can. What the caller passed in stays the caller's. */
export function sendable(audio: AudioSource): { sound: SentSound; transfer: Transferable[] } {
  if (typeof audio === 'string' || audio instanceof URL) {
    return { sound: new URL(audio, globalThis.document?.baseURI ?? globalThis.location.href).href, transfer: [] };
  }
  if (audio instanceof Blob) return { sound: audio, transfer: [] };
  const sound = typeof AudioBuffer !== 'undefined' && audio instanceof AudioBuffer ? mixed(audio) : copied(audio as Samples);
  return { sound, transfer: [sound.samples.buffer] };
}

/** The mean of the channels. */
function mixed(audio: AudioBuffer): Samples {
  const samples = audio.getChannelData(0).slice();
  const channels = audio.numberOfChannels;
  for (let c = 1; c < channels; c++) {
    const channel = audio.getChannelData(c);
    for (let i = 0; i < samples.length; i++) samples[i]! += channel[i]!;
  }
  if (channels > 1) for (let i = 0; i < samples.length; i++) samples[i]! /= channels;
  return { samples, rate: Math.round(audio.sampleRate) };
}

function copied(audio: Partial<Samples> | null | undefined): Samples {
  const { samples, rate } = audio ?? {};
  if (!(samples instanceof Float32Array)) {
    throw new FewbitError('usage', 'audio must be an address, a Blob, an AudioBuffer or { samples: Float32Array, rate }');
  }
  if (!Number.isInteger(rate)) throw new FewbitError('usage', `rate is ${rate}; it must be the samples of a second`);
  return { samples: samples.slice(), rate: rate as number };
}
