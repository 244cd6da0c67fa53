/**
 * The pieces that `work` tells of; returns what it resolves to. `work` is aborted when nobody asks for more of them.
 */
export async function* streamed<Piece, Result>(
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal, onPiece: (piece: Piece) => void) => Promise<Result>,
): AsyncGenerator<Piece, Result, void> {
  const left = new AbortController();
  const pieces: Piece[] = [];
  let wake = () => {};
  let over = false;
  const working = work(signal ? AbortSignal.any([signal, left.signal]) : left.signal, (piece) => {
    pieces.push(piece);
    wake();
  }).finally(() => {
    over = true;
    wake();
  });
  // Whoever leaves early does not hear of it.
  working.catch(() => {});
  try {
    while (!over || pieces.length > 0) {
      const piece = pieces.shift();
      if (piece !== undefined) yield piece;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
    return await working;
  } finally {
    left.abort();
  }
}
