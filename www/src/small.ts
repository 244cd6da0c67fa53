import glue, { Loader, lastPanic, setBreath, setSubgroups } from '../pkg/fewbit.js';
import { Engine, type Build } from './engine.ts';

const build: Build = {
  glue: { default: glue, Loader, lastPanic, setBreath, setSubgroups },
  address: new URL('./fewbit_bg.wasm', import.meta.url),
};

/** An engine of the build for all tasks but text. */
export const newEngine = () => new Engine(build);
