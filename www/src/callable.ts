import type { Model } from './model.ts';
import type { ModelInfo } from './types.ts';

/** What every pipeline has beside its call. */
export interface Pipeline {
  readonly model: Model;
  readonly info: ModelInfo;
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A pipeline: a function with these members. */
export function callable<Call, More>(call: Call, model: Model, more?: More): Call & More & Pipeline {
  return Object.defineProperties(Object.assign(call as object, more), {
    model: { value: model },
    info: { get: () => model.info },
    dispose: { value: () => model.dispose() },
    [Symbol.asyncDispose]: { value: () => model.dispose() },
  }) as Call & More & Pipeline;
}
