#!/usr/bin/env python3
"""Small JPEG files of every kind that is read, each with the pixels that Pillow (libjpeg-turbo) gives as a PNG.

    jpeg_cases.py tests/data/jpeg

They are cut from tests/data/chelsea.png. tests/jpeg.rs compares; the files are in the repository, so that this need
not run again.
"""
import io
import sys
from pathlib import Path

from PIL import Image

FRAMES = (b"\xff\xc0", b"\xff\xc2")


def encoded(image: Image.Image, **options) -> bytearray:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **{"quality": 80, **options})
    return bytearray(buffer.getvalue())


def resampled(file: bytearray, luma: int) -> bytearray:
    """Another sampling (high four bits across, low four down) for the first component, with as many blocks: the
    picture is scrambled, and what it means is still defined."""
    frame = max(file.find(marker) for marker in FRAMES)
    file[frame + 11] = luma
    return file


def with_adobe_transform(file: bytearray, transform: int) -> bytearray:
    file[file.index(b"Adobe") + 11] = transform
    return file


def cases(cat: Image.Image) -> dict[str, bytearray]:
    def cut(width: int, height: int, mode: str = "RGB") -> Image.Image:
        return cat.crop((150, 90, 150 + width, 90 + height)).convert(mode)

    square = cut(32, 32)
    return {
        "444": encoded(cut(45, 37), subsampling=0),
        "422": encoded(cut(45, 37), subsampling=1),
        "420": encoded(cut(45, 37), subsampling=2),
        "440": resampled(encoded(square, subsampling=1), 0x12),
        "411": resampled(encoded(square, subsampling=2), 0x41),
        "420-restart": encoded(cut(45, 37), subsampling=2, restart_marker_blocks=2),
        "420-coarse": encoded(cut(45, 37), subsampling=2, quality=5, optimize=True),
        "420-narrow": encoded(cut(3, 21), subsampling=2),
        "444-one-pixel": encoded(cut(1, 1), subsampling=0),
        "444-progressive": encoded(cut(45, 37), subsampling=0, progressive=True),
        "420-progressive": encoded(cut(45, 37), subsampling=2, progressive=True, quality=95),
        "420-progressive-restart": encoded(cut(45, 37), subsampling=2, progressive=True, restart_marker_blocks=3),
        "grey": encoded(cut(29, 37, "L")),
        "grey-progressive": encoded(cut(29, 37, "L"), progressive=True),
        "rgb": encoded(cut(29, 37), keep_rgb=True),
        "cmyk": encoded(cut(29, 37, "CMYK")),
        "ycck": with_adobe_transform(encoded(cut(29, 37, "CMYK")), 2),
    }


def main() -> None:
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with Image.open(Path(__file__).parent.parent / "tests" / "data" / "chelsea.png") as cat:
        for name, file in cases(cat.convert("RGB")).items():
            (target / f"{name}.jpg").write_bytes(file)
            Image.open(io.BytesIO(file)).convert("RGB").save(target / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
