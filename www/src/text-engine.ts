import glue, { Loader, Reduction, lastPanic, setBreath, setSubgroups, type Model } from '../pkg/text/fewbit.js';
import { Engine, ready, type Build, type Calls, type Context, type Method, type News, type OpenParams } from './engine.ts';
import { FewbitError, throwIfAborted } from './errors.ts';
import { fetchBlob } from './fetch.ts';
import { toPixels } from './image.ts';
import type { SentReduction } from './reduction.ts';
import type { Samples, SentSound } from './sound.ts';
import { fromWire } from './tensors.ts';
import type { Generated, ModelInfo, Segment, Transcript } from './types.ts';

const build: Build = {
  glue: { default: glue, Loader, lastPanic, setBreath, setSubgroups } as unknown as Build['glue'],
  address: new URL('./fewbit_text_bg.wasm', import.meta.url),
};

/** An engine of the build with text, speech and models that see. */
export const newEngine = () => new TextEngine(build);

class TextEngine extends Engine {
  protected override answer(method: Method, params: unknown, context: Context): Promise<unknown> {
    switch (method) {
      case 'generate':
        return this.generate(params as Calls['generate']['params'], context);
      case 'describe':
        return this.describe(params as Calls['describe']['params'], context);
      case 'hear':
        return this.hear(params as Calls['hear']['params'], context);
      case 'reduce':
        return this.reduce(params as SentReduction, context);
      default:
        return super.answer(method, params, context);
    }
  }

  /** A mistake in `tokens` is found before the model is fetched. */
  protected override async open(params: OpenParams, context: Context): Promise<ModelInfo> {
    const reduction = params.tokens && (await toReduction(params.tokens, context.signal));
    const info = await super.open(params, context);
    if (reduction) this.own().setTokens(reduction);
    return info;
  }

  private async reduce(params: SentReduction, context: Context): Promise<Calls['reduce']['result']> {
    this.own().setTokens(await toReduction(params, context.signal));
    return { info: this.info() };
  }

  protected override async classify(params: Calls['classify']['params'], context: Context): Promise<Calls['classify']['result']> {
    const result = await super.classify(params, context);
    return { ...result, tokenMap: Object.values(fromWire(this.own().tokenMap()))[0] };
  }

  private own(): Model {
    return this.opened() as Model;
  }

  private async generate({ request }: Calls['generate']['params'], context: Context): Promise<Calls['generate']['result']> {
    const json = await this.telling<string>(context, (model, tell) => model.generate(request, tell));
    return { generated: JSON.parse(json) as Generated, info: this.info() };
  }

  private async describe({ request, image }: Calls['describe']['params'], context: Context): Promise<Calls['describe']['result']> {
    const { rgba, width, height } = await toPixels(image, context.signal);
    const json = await this.telling<string>(context, (model, tell) => model.describe(request, rgba, width, height, tell));
    return { generated: JSON.parse(json) as Generated, info: this.info() };
  }

  private async hear({ request, sound }: Calls['hear']['params'], context: Context): Promise<Calls['hear']['result']> {
    const heard = await toSound(sound, context.signal);
    const json = await this.telling<Segment>(context, (model, tell) => {
      const part = (start: number, end: number, text: string) => tell({ start, end, text });
      return 'bytes' in heard
        ? model.hearFile(request, heard.name, heard.bytes, part)
        : model.hearSamples(request, heard.samples, heard.rate, part);
    });
    return { transcript: JSON.parse(json) as Transcript, info: this.info() };
  }

  /** Computes, and passes on each piece that `work` tells of once: repeated on another device, it begins anew. */
  private telling<Piece extends News>(
    context: Context,
    work: (model: Model, tell: (piece: Piece) => void) => Promise<string>,
  ): Promise<string> {
    let told = 0;
    return this.computing(context, (model) => {
      let at = 0;
      return work(model as Model, (piece) => {
        if (at++ === told) context.onProgress((told++, piece));
      });
    });
  }
}

async function toReduction({ method, schedule, map }: SentReduction, signal?: AbortSignal): Promise<Reduction> {
  const file = schedule === undefined && /^diffrate:(.*)/.exec(method)?.[1];
  const text = file ? await (await fetchBlob('schedule', file, signal)).text() : JSON.stringify(schedule ?? null);
  await ready(build);
  return new Reduction(method, text, map);
}

/** Fetches and reads as far as needed; the module decodes files. */
async function toSound(sound: SentSound, signal?: AbortSignal): Promise<Samples | { name: string; bytes: Uint8Array }> {
  if (typeof sound !== 'string' && !(sound instanceof Blob)) return sound;
  const blob = typeof sound === 'string' ? await fetchBlob('sound', sound, signal) : sound;
  const name = typeof sound === 'string' ? sound : sound instanceof File ? sound.name : 'the sound';
  const bytes = await blob.arrayBuffer().catch((error: unknown) => {
    if (error instanceof RangeError) throw error;
    throw new FewbitError('network', `${name} cannot be read`, { cause: error });
  });
  throwIfAborted(signal);
  return { name, bytes: new Uint8Array(bytes) };
}
