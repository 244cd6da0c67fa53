import type { Patches } from './reduced.ts';

/** Side of the drawing in pixels of its own: enough for sharp lines on any screen. */
const SIDE = 840;
const LINE = 5;

/** The square in the middle of a picture, no larger than a model looks at. */
export async function squareOf(image: Blob | string): Promise<ImageData> {
  const most = 448;
  const blob = typeof image === 'string' ? await (await fetch(image)).blob() : image;
  const bitmap = await createImageBitmap(blob);
  const cut = Math.min(bitmap.width, bitmap.height);
  const side = Math.min(cut, most);
  const context = contextOf(new OffscreenCanvas(side, side));
  context.drawImage(bitmap, (bitmap.width - cut) / 2, (bitmap.height - cut) / 2, cut, cut, 0, 0, side, side);
  bitmap.close();
  return context.getImageData(0, 0, side, side);
}

/** Draws the picture: patches that are gone dimmed, patches that became one token in outlines of one colour. */
export function draw(canvas: HTMLCanvasElement, picture: ImageData, { row, sizes }: Patches): void {
  canvas.width = canvas.height = SIDE;
  const context = contextOf(canvas);
  const whole = new OffscreenCanvas(picture.width, picture.height);
  contextOf(whole).putImageData(picture, 0, 0);
  // Pixels of a small picture are what the network sees.
  context.imageSmoothingEnabled = picture.width > SIDE / 8;
  context.drawImage(whole, 0, 0, SIDE, SIDE);
  const grid = Math.round(Math.sqrt(row.length));
  if (grid * grid !== row.length) return;
  const at = (x: number, y: number) => (x < 0 || y < 0 || x >= grid || y >= grid ? undefined : row[y * grid + x]);
  const side = SIDE / grid;
  const paper = getComputedStyle(canvas).getPropertyValue('--card');
  for (let y = 0; y < grid; y++) {
    for (let x = 0; x < grid; x++) {
      const token = at(x, y) ?? -1;
      if (token < 0) {
        context.globalAlpha = 0.82;
        context.fillStyle = paper;
        context.fillRect(x * side, y * side, side, side);
        context.globalAlpha = 1;
      } else if ((sizes.get(token) ?? 0) > 1) {
        // The golden angle: tokens with neighbouring numbers look unlike.
        context.fillStyle = `hsl(${(token * 137.5) % 360} 85% 55%)`;
        outline(context, x, y, side, (dx, dy) => at(x + dx, y + dy) === token);
      }
    }
  }
}

/** Lines inside a patch along the sides where no patch of the same token is. */
function outline(context: Context, x: number, y: number, side: number, same: (dx: number, dy: number) => boolean): void {
  const [left, top] = [x * side, y * side];
  if (!same(-1, 0)) context.fillRect(left, top, LINE, side);
  if (!same(1, 0)) context.fillRect(left + side - LINE, top, LINE, side);
  if (!same(0, -1)) context.fillRect(left, top, side, LINE);
  if (!same(0, 1)) context.fillRect(left, top + side - LINE, side, LINE);
}

/** In words: a drawing is not for everyone. */
export function inWords({ row, sizes }: Patches): string {
  const alone = [...sizes.values()].filter((size) => size === 1).length;
  const merged = sizes.size - alone;
  const gone = row.filter((token) => token < 0).length;
  const parts = [
    alone > 0 && `${alone} on their own`,
    merged > 0 && `${row.length - gone - alone} merged into ${merged}`,
    gone > 0 && `${gone} gone`,
  ];
  return `Of ${row.length} patches: ${parts.filter(Boolean).join(', ')}.`;
}

type Context = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;

function contextOf(canvas: OffscreenCanvas): OffscreenCanvasRenderingContext2D;
function contextOf(canvas: HTMLCanvasElement): CanvasRenderingContext2D;
function contextOf(canvas: OffscreenCanvas | HTMLCanvasElement): Context {
  const context = canvas.getContext('2d') as Context | null;
  if (!context) throw new Error('the browser has no canvas to draw on');
  return context;
}
