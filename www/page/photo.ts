import { element, showError } from './view.ts';

/** Calls `take` with every picture: a file that is chosen, dropped anywhere on the page or pasted, or a sample's address. */
export function onPhoto(take: (image: Blob | string) => void): void {
  const file = element<HTMLInputElement>('file');
  file.addEventListener('change', () => {
    const chosen = file.files?.[0];
    if (chosen) take(chosen);
    // The same file may be chosen again.
    file.value = '';
  });

  // The whole page takes drops: a photo that misses the frame must not replace the page.
  const drop = element('drop');
  addEventListener('dragover', (event) => {
    event.preventDefault();
    drop.classList.add('over');
  });
  addEventListener('dragleave', () => drop.classList.remove('over'));
  addEventListener('drop', (event) => {
    event.preventDefault();
    drop.classList.remove('over');
    const picture = pictureIn(event.dataTransfer);
    if (picture) take(picture);
    else showError({ code: 'unsupported', message: 'That was not a picture.' });
  });
  addEventListener('paste', (event) => {
    const picture = pictureIn(event.clipboardData);
    if (picture) take(picture);
  });

  for (const button of document.querySelectorAll<HTMLButtonElement>('[data-sample]')) {
    button.addEventListener('click', () => take(button.dataset.sample ?? ''));
  }
}

/** The first picture among dropped or pasted things. */
function pictureIn(data: DataTransfer | null): File | undefined {
  return [...(data?.files ?? [])].find((file) => file.type.startsWith('image/'));
}
