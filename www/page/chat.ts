import { FewbitError, type Message } from '../src/index.ts';
import { Opener, onFile, selectDevice } from './opener.ts';
import { element, showError, showInfo, showSpeed } from './view.ts';

// `?model=ADDRESS` talks to another model, `?device=wasm` starts on another device.
const query = new URLSearchParams(location.search);
const MODEL = './models/smollm2_135m_q4_1.gguf';
/** A small model that strays from the likeliest errs, and one that never does repeats itself. */
const SAMPLING = { maxTokens: 400, temperature: 0.2, topP: 0.9, repetitionPenalty: 1.1 };

const log = element('log');
const words = element<HTMLTextAreaElement>('words');

const model = new Opener('text-generation', query.get('model') ?? MODEL, fail);

/** The answer that is being written. */
let answering: AbortController | undefined;
let messages: Message[] = [];

/** Answers the last message. */
async function answer(): Promise<void> {
  answering?.abort();
  const mine = (answering = new AbortController());
  const { signal } = mine;
  showError(undefined);
  showAnswering(true);
  let line: HTMLElement | undefined;
  try {
    const chat = await model.open();
    line = addLine('assistant', '');
    line.ariaBusy = 'true';
    const began = performance.now();
    const stream = chat.stream(messages, { ...SAMPLING, seed: messages.length, signal });
    let next = await stream.next();
    const first = performance.now() - began;
    for (; !next.done; next = await stream.next()) append(line, next.value);
    showSpeed(next.value, first);
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

/** Another device or model: the conversation stays. */
function reopen(source?: Blob): void {
  answering?.abort();
  model.reopen(source);
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
words.addEventListener('focus', () => void model.open().catch(() => {}));
element('stop').addEventListener('click', () => {
  answering?.abort();
  words.focus();
});
addEventListener('keydown', (event) => {
  if (event.key === 'Escape') answering?.abort();
});
element('devices').addEventListener('change', () => reopen());
element('anew').addEventListener('click', beginAnew);
element('retry').addEventListener('click', () => {
  if (messages.at(-1)?.role === 'user') void answer();
  else reopen();
});
onFile('file', (file) => {
  beginAnew();
  reopen(file);
});

selectDevice(query.get('device'));
