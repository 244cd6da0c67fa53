/**
 * Lets the module's devices have subgroups: wgpu asks a browser only for the features it knows of, and these are not among
 * them. Devices that anyone else opens are left alone.
 * Called once per module.
 */
export function askForSubgroups(tell: (granted: boolean) => void): void {
  if (typeof GPUAdapter === 'undefined') return;
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    if (descriptor?.label !== 'fewbit') return request.call(this, descriptor);
    const granted = this.features.has('subgroups');
    const features = [...(descriptor.requiredFeatures ?? []), ...(granted ? (['subgroups'] as const) : [])];
    const device = await request.call(this, { ...descriptor, requiredFeatures: features });
    tell(granted);
    return device;
  };
}
