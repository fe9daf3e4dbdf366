"""GIFs as Pillow writes them: interlaced or not, grey or a black and white mask. The test makes the same pixels.

Run: .venv/bin/python tests/reference/gif.py (Pillow only)
"""

import io
import json
from pathlib import Path

from PIL import Image


def noise(row: int, column: int) -> int:
    return (row * 73 + column * 37) * (row + 3 * column + 11) % 251


def mask(row: int, column: int) -> int:
    return 255 if (row // 5 + column // 3) % 2 else 0


def gif(function, interlace: int) -> str:
    image = Image.new("L", (44, 41))
    image.putdata([function(row, column) for row in range(41) for column in range(44)])
    buffer = io.BytesIO()
    image.save(buffer, "GIF", interlace=interlace)
    return buffer.getvalue().hex()


pictures = [{"pixels": function.__name__, "interlace": interlace, "bytes": gif(function, interlace)}
            for function in (noise, mask) for interlace in (0, 1)]
Path(__file__).with_suffix(".json").write_text(json.dumps({"pictures": pictures}, indent=1) + "\n")
