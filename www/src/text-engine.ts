import glue, { Loader, lastPanic, setBreath, setSubgroups, type Model } from '../pkg/text/fewbit.js';
import { Engine, type Build, type Calls, type Context, type Method } from './engine.ts';
import type { Generated } from './types.ts';

const build: Build = {
  glue: { default: glue, Loader, lastPanic, setBreath, setSubgroups } as unknown as Build['glue'],
  address: new URL('./fewbit_text_bg.wasm', import.meta.url),
};

/** An engine of the build with text. */
export const newEngine = () => new TextEngine(build);

class TextEngine extends Engine {
  protected override answer(method: Method, params: unknown, context: Context): Promise<unknown> {
    if (method !== 'generate') return super.answer(method, params, context);
    return this.generate(params as Calls['generate']['params'], context);
  }

  private async generate({ request }: Calls['generate']['params'], context: Context): Promise<Calls['generate']['result']> {
    let told = 0;
    const json = await this.computing(context, (model) => {
      // Repeated on another device, the text begins anew.
      let at = 0;
      return (model as Model).generate(request, (piece: string) => {
        if (at++ === told) context.onProgress((told++, piece));
      });
    });
    return { generated: JSON.parse(json) as Generated, info: this.info() };
  }
}
