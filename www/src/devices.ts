/** A device this browser offers. */
export interface DeviceInfo {
  kind: 'webgpu' | 'wasm';
  name: string;
  /** A GPU that is really the CPU in disguise: correct, but slower than WebAssembly. */
  software: boolean;
  /** What `device: 'auto'` would take. */
  preferred: boolean;
  limits?: Record<string, number>;
  features?: string[];
}

/** What a choice came to, and why. */
export interface Choice {
  kind: 'webgpu' | 'wasm';
  reason: string;
}

const WASM_NAME = 'WebAssembly SIMD';

/** Lists the devices, the preferred one first. */
export async function devices(): Promise<DeviceInfo[]> {
  const wasm: DeviceInfo = { kind: 'wasm', name: WASM_NAME, software: false, preferred: true };
  const adapter = await findAdapter();
  if (!adapter) return [wasm];
  const software = isSoftware(adapter);
  const limits: Record<string, number> = {};
  // Limits are getters on the prototype: only `for in` sees them.
  for (const name in adapter.limits) limits[name] = adapter.limits[name as keyof GPUSupportedLimits] as number;
  const gpu: DeviceInfo = {
    kind: 'webgpu',
    name: adapterName(adapter),
    software,
    preferred: !software,
    limits,
    features: [...adapter.features],
  };
  wasm.preferred = software;
  return software ? [wasm, gpu] : [gpu, wasm];
}

/** Settles what `device` means here; asking for WebGPU where there is none is the caller's to handle. */
export async function chooseDevice(wanted: 'auto' | 'webgpu' | 'wasm'): Promise<Choice> {
  if (wanted !== 'auto') return { kind: wanted, reason: `asked for ${wanted}` };
  if (!gpuOf()) return { kind: 'wasm', reason: 'this browser has no WebGPU' };
  const adapter = await findAdapter();
  if (!adapter) return { kind: 'wasm', reason: 'WebGPU found no usable GPU' };
  if (isSoftware(adapter)) {
    return { kind: 'wasm', reason: `the GPU here (${adapterName(adapter)}) is software, slower than WebAssembly` };
  }
  return { kind: 'webgpu', reason: 'a hardware GPU is there' };
}

/** Name of the GPU; empty without one. */
export async function gpuName(): Promise<string> {
  const adapter = await findAdapter();
  return adapter ? adapterName(adapter) : '';
}

function gpuOf(): GPU | undefined {
  return (globalThis.navigator as Navigator | undefined)?.gpu;
}

async function findAdapter(): Promise<GPUAdapter | null> {
  try {
    return (await gpuOf()?.requestAdapter({ powerPreference: 'high-performance' })) ?? null;
  } catch {
    return null;
  }
}

/** Names under which drivers that compute on the CPU are known, where `isFallbackAdapter` does not say it. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|warp/i;

function isSoftware(adapter: GPUAdapter): boolean {
  const info = adapter.info;
  return info.isFallbackAdapter === true || SOFTWARE.test(`${info.vendor} ${info.architecture} ${info.description}`);
}

function adapterName(adapter: GPUAdapter): string {
  const { vendor, architecture, description } = adapter.info;
  return description || [vendor, architecture].filter(Boolean).join(' ') || 'WebGPU';
}
