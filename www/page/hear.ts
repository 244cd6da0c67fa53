import { FewbitError, type AudioSource, type Segment, type SpeechRecognizer, type Transcript } from '../src/index.ts';
import { Opener, onFile, selectDevice } from './opener.ts';
import { element, showError, showInfo } from './view.ts';

// `?model=ADDRESS` hears with another model, `?device=wasm` starts on another device.
const query = new URLSearchParams(location.search);
const MODEL = './models/whisper_tiny_en.fewbit';
/** What browsers decode themselves comes at the rate that models take. */
const RATE = 16_000;

const log = element('log');
const player = element<HTMLAudioElement>('player');
const bar = element<HTMLProgressElement>('heard');
const model = new Opener('automatic-speech-recognition', query.get('model') ?? MODEL, fail);

let sound: Blob | undefined;
/** What is being heard, or recorded. */
let hearing: AbortController | undefined;
let recording: AbortController | undefined;

/** Writes down what is said in the sound. */
async function hear(): Promise<void> {
  if (!sound) return;
  hearing?.abort();
  const mine = (hearing = new AbortController());
  const { signal } = mine;
  showError(undefined);
  showHearing(true);
  log.replaceChildren();
  element('time').textContent = '';
  try {
    const hear = await model.open();
    const began = performance.now();
    const { seconds, text } = await written(hear, sound, signal);
    const took = (performance.now() - began) / 1e3;
    if (!text.trim()) addLine('', 'Nobody speaks in it.');
    element('time').textContent = `${seconds.toFixed(1)} s of sound in ${took.toFixed(1)} s`;
    element('speed').textContent = `${(seconds / took).toFixed(1)} × as fast as it is spoken`;
    showInfo(hear.info);
    performance.mark('heard');
  } catch (error) {
    if (!signal.aborted) fail(error);
  } finally {
    if (hearing === mine) {
      hearing = undefined;
      showHearing(false);
    }
  }
}

/** A file that the package does not read the browser may: recordings of its own, AAC. */
async function written(hear: SpeechRecognizer, file: Blob, signal: AbortSignal): Promise<Transcript> {
  const write = async (audio: AudioSource) => {
    log.replaceChildren();
    const stream = hear.stream(audio, { timestamps: true, signal });
    let next = await stream.next();
    for (; !next.done; next = await stream.next()) addPart(next.value);
    return next.value;
  };
  try {
    return await write(file);
  } catch (error) {
    if (!(error instanceof FewbitError) || error.code !== 'unsupported') throw error;
    const context = new OfflineAudioContext(1, 1, RATE);
    const decoded = await context.decodeAudioData(await file.arrayBuffer()).catch(() => Promise.reject(error));
    return write(decoded);
  }
}

function addPart({ start, end, text }: Segment): void {
  addLine(clock(start), text.trim(), start);
  if (Number.isFinite(player.duration) && player.duration > 0) bar.value = Math.min(1, end / player.duration);
}

/** A line of the text; its time plays the sound from there. It follows the text, unless the reader has scrolled up. */
function addLine(time: string, text: string, start = 0): void {
  const line = document.createElement('li');
  const at = document.createElement('button');
  at.type = 'button';
  at.className = 'at';
  at.textContent = time;
  at.hidden = !time;
  at.ariaLabel = `Play from ${time}`;
  at.addEventListener('click', () => {
    player.currentTime = start;
    void player.play().catch(() => {});
  });
  const words = document.createElement('span');
  words.textContent = text;
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  line.append(at, words);
  log.append(line);
  if (follows) log.scrollTop = log.scrollHeight;
}

/** Minutes and seconds. */
function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

function showHearing(is: boolean): void {
  element('hearing').hidden = !is;
  bar.removeAttribute('value');
}

function fail(error: unknown): void {
  showError(error instanceof FewbitError ? error : { code: '', message: String(error) });
}

function take(file: Blob): void {
  sound = file;
  URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(file);
  player.hidden = false;
  element('name').textContent = file instanceof File ? file.name : 'Your recording';
  void hear();
}

/** Records until the button is pressed again; the model is loaded in the meantime. */
async function record(): Promise<void> {
  recording = new AbortController();
  const { signal } = recording;
  hearing?.abort();
  showError(undefined);
  showRecording(true);
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    void model.open().catch(() => {});
    try {
      const spoken = await recorded(stream, signal);
      if (signal.reason !== 'discard') take(spoken);
    } finally {
      for (const track of stream.getTracks()) track.stop();
    }
  } catch (error) {
    fail({ code: '', message: `The microphone cannot be used: ${error instanceof Error ? error.message : String(error)}` });
  } finally {
    recording = undefined;
    showRecording(false);
  }
}

function recorded(stream: MediaStream, end: AbortSignal): Promise<Blob> {
  return new Promise((resolve, reject) => {
    const recorder = new MediaRecorder(stream);
    const parts: Blob[] = [];
    const began = performance.now();
    const tell = () => (element('time').textContent = `Recording: ${clock((performance.now() - began) / 1e3)}`);
    const clockwork = setInterval(tell, 500);
    recorder.ondataavailable = ({ data }) => parts.push(data);
    recorder.onerror = () => reject(new Error('the recording broke off'));
    recorder.onstop = () => {
      clearInterval(clockwork);
      element('time').textContent = '';
      resolve(new Blob(parts, { type: recorder.mimeType }));
    };
    const stop = () => recorder.state !== 'inactive' && recorder.stop();
    recorder.start();
    tell();
    if (end.aborted) stop();
    end.addEventListener('abort', stop, { once: true });
  });
}

function showRecording(is: boolean): void {
  const button = element('record');
  button.ariaPressed = String(is);
  button.textContent = is ? 'Stop recording' : 'Record';
}

element('record').addEventListener('click', () => {
  if (recording) recording.abort('done');
  else void record();
});
element('stop').addEventListener('click', () => hearing?.abort());
addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  hearing?.abort();
  recording?.abort('discard');
});
element('devices').addEventListener('change', () => {
  hearing?.abort();
  model.reopen();
});
element('retry').addEventListener('click', () => {
  if (sound) void hear();
  else model.reopen();
});
onFile('file', take);
onFile('model-file', (file) => {
  hearing?.abort();
  model.reopen(file);
});

// The whole page takes drops: a file that misses a frame must not replace the page.
addEventListener('dragover', (event) => event.preventDefault());
addEventListener('drop', (event) => {
  event.preventDefault();
  const file = event.dataTransfer?.files[0];
  if (file) take(file);
});

selectDevice(query.get('device'));
