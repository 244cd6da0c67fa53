import { FewbitError, pipeline, type Device, type Message, type TextGenerator } from '../src/index.ts';
import { element, showError, showInfo, showProgress } from './view.ts';

// `?model=ADDRESS` talks to another model, `?device=wasm` starts on another device.
const query = new URLSearchParams(location.search);
const MODEL = './models/smollm2_135m_q4_1.gguf';
/** A small model that strays from the likeliest errs, and one that never does repeats itself. */
const SAMPLING = { maxTokens: 400, temperature: 0.2, topP: 0.9, repetitionPenalty: 1.1 };

const log = element('log');
const words = element<HTMLTextAreaElement>('words');

let source: string | Blob = query.get('model') ?? MODEL;
let opening: Promise<TextGenerator> | undefined;
let loading: AbortController | undefined;
/** The answer that is being written. */
let answering: AbortController | undefined;
let messages: Message[] = [];

/** The model, loaded when someone is about to write. */
function open(): Promise<TextGenerator> {
  if (opening) return opening;
  loading = new AbortController();
  const { signal } = loading;
  showError(undefined);
  showProgress({ stage: 'compile', loaded: 0, total: 0, file: '' });
  const onProgress = (progress: Parameters<typeof showProgress>[0]) => {
    if (!signal.aborted) showProgress(progress);
  };
  const mine = pipeline('text-generation', source, { device: selectedDevice(), signal, onProgress });
  mine.then(
    (ready) => showInfo(ready.info),
    (error: unknown) => {
      if (!signal.aborted) fail(error);
      // The next message tries again.
      if (opening === mine) opening = undefined;
    },
  );
  return (opening = mine);
}

/** Answers the last message. */
async function answer(): Promise<void> {
  answering?.abort();
  const mine = (answering = new AbortController());
  const { signal } = mine;
  showError(undefined);
  showAnswering(true);
  let line: HTMLElement | undefined;
  try {
    const chat = await open();
    line = addLine('assistant', '');
    line.ariaBusy = 'true';
    const began = performance.now();
    const stream = chat.stream(messages, { ...SAMPLING, seed: messages.length, signal });
    let next = await stream.next();
    const first = performance.now() - began;
    for (; !next.done; next = await stream.next()) append(line, next.value);
    const { tokens, promptTokens, prefillMs, decodeMs } = next.value;
    const rate = (count: number, ms: number) => (ms > 0 ? (1e3 * count) / ms : 0).toFixed(1);
    element('time').textContent = `First word after ${(first / 1e3).toFixed(1)} s`;
    element('speed').textContent = `writes ${rate(tokens - 1, decodeMs)}, read ${promptTokens} at ${rate(promptTokens, prefillMs)} tokens/s`;
    showInfo(chat.info);
    performance.mark('answered');
  } catch (error) {
    if (!signal.aborted) fail(error);
  } finally {
    // What was written until someone stopped it is part of the conversation.
    if (line) {
      line.ariaBusy = 'false';
      if (line.textContent && line.isConnected) messages.push({ role: 'assistant', content: line.textContent });
      else line.remove();
    }
    if (answering === mine) {
      answering = undefined;
      showAnswering(false);
    }
  }
}

function say(): void {
  const content = words.value.trim();
  if (!content || answering) return;
  words.value = '';
  messages.push({ role: 'user', content });
  addLine('user', content);
  void answer();
}

function addLine(who: string, content: string): HTMLElement {
  const line = document.createElement('li');
  line.className = who;
  line.textContent = content;
  log.append(line);
  log.scrollTop = log.scrollHeight;
  return line;
}

/** Follows the text, unless the reader has scrolled up. */
function append(line: HTMLElement, piece: string): void {
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  line.append(piece);
  if (follows) log.scrollTop = log.scrollHeight;
}

function showAnswering(is: boolean): void {
  element('send').hidden = is;
  element('stop').hidden = !is;
}

function fail(error: unknown): void {
  showError(error instanceof FewbitError ? error : { code: '', message: String(error) });
}

function selectedDevice(): Device {
  return (document.querySelector<HTMLInputElement>('input[name=device]:checked')?.value ?? 'auto') as Device;
}

/** Another device or model: the conversation stays. */
function reopen(): void {
  answering?.abort();
  loading?.abort();
  void opening?.then((old) => old.dispose()).catch(() => {});
  opening = undefined;
  void open().catch(() => {});
}

function beginAnew(): void {
  answering?.abort();
  messages = [];
  log.replaceChildren();
  showError(undefined);
  words.focus();
}

element('say').addEventListener('submit', (event) => {
  event.preventDefault();
  say();
});
words.addEventListener('keydown', (event) => {
  // Enter also ends what an input method composes.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  say();
});
words.addEventListener('focus', () => void open().catch(() => {}));
element('stop').addEventListener('click', () => {
  answering?.abort();
  words.focus();
});
addEventListener('keydown', (event) => {
  if (event.key === 'Escape') answering?.abort();
});
element('devices').addEventListener('change', reopen);
element('anew').addEventListener('click', beginAnew);
element('retry').addEventListener('click', () => {
  if (messages.at(-1)?.role === 'user') void answer();
  else reopen();
});
const file = element<HTMLInputElement>('file');
file.addEventListener('change', () => {
  const chosen = file.files?.[0];
  if (!chosen) return;
  source = chosen;
  beginAnew();
  reopen();
});

const first = document.querySelector<HTMLInputElement>(`input[name=device][value="${query.get('device') ?? 'auto'}"]`);
if (first) first.checked = true;
