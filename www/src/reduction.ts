import { resolve } from './address.ts';
import type { TokenReduction, TokenSchedule } from './types.ts';

/** A way to reduce tokens as it crosses to the engine; the module reads it there. */
export interface SentReduction {
  /** As on the command line; of a file with a schedule its address. */
  method: string;
  /** Absent: the engine fetches what `method` names. */
  schedule?: TokenSchedule;
  map: boolean;
}

const FILE = 'diffrate:';

/** @throws FewbitError with code `usage` for an address that is none; other mistakes are found by the module. */
export function sent(tokens: TokenReduction, map: boolean): SentReduction {
  if (tokens instanceof URL) return { method: FILE + tokens.href, map };
  if (typeof tokens !== 'string') return { method: `${FILE}the schedule`, schedule: tokens, map };
  return { method: tokens.startsWith(FILE) ? FILE + resolve(tokens.slice(FILE.length)) : tokens, map };
}
