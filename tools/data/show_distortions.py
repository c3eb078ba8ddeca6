#!/usr/bin/env python
"""Save contact sheets: every distortion at its five levels, and all foreground/background pairs of one of them."""

import argparse

from PIL import Image

from miqa.distortions.saliency import salient_foreground
from miqa.distortions.sheet import fit_width, fused_sheet, levels_sheet
from miqa.keeping import atomic_write
from miqa.pictures import read_image
from miqa.running.command_line import ToolParser, run_command
from miqa.taxonomy import ALL_DISTORTIONS, DISTORTION_WORDS, distortions_named

EXAMPLES = """
examples
  python tools/data/show_distortions.py photo.jpg --out sheet.jpg
  python tools/data/show_distortions.py photo.jpg --out snow.png --distortions snow fog frost --cell 460
  python tools/data/show_distortions.py photo.jpg --fused motion_blur --mask photo_binary_mask.png --out fused.jpg
"""


def main() -> int:
    """Run the tool."""
    parser = ToolParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('image', help='the source picture')
    parser.add_argument('--out', required=True, help='sheet to write, .jpg or .png')
    parser.add_argument(
        '--distortions', nargs='+', choices=DISTORTION_WORDS, default=['miqd'], metavar='NAME',
        help='names, or families: miqd (the default), extra, camera, all',
    )  # fmt: skip
    parser.add_argument('--fused', choices=ALL_DISTORTIONS, metavar='NAME', help='show the 25 pairs of this one')
    parser.add_argument('--mask', help='foreground mask for --fused, white on black (default: by saliency)')
    parser.add_argument('--width', type=int, default=460, help='shrink the source to this width (default: 460)')
    parser.add_argument('--cell', type=int, default=230, help='width at which a picture is shown (default: 230)')
    parser.add_argument('--quality', type=int, default=60, help='of a JPEG sheet (default: 60)')
    parser.add_argument('--seed', type=int, default=1234567)
    args = parser.parse_args()
    try:
        full = read_image(args.image)
        image = fit_width(full, args.width)
        if args.fused:
            mask = read_image(args.mask)[:, :, 0] if args.mask else salient_foreground(full)
            if mask.shape != full.shape[:2]:
                parser.error(f'The mask {args.mask} is of another size than {args.image}.')
            mask = (fit_width(mask, args.width) > 127).astype('uint8') * 255
            sheet = fused_sheet(image, mask, args.fused, args.cell, args.seed)
        else:
            sheet = levels_sheet(image, distortions_named(args.distortions), args.cell, args.seed)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    with atomic_write(args.out) as temporary:
        Image.fromarray(sheet).save(temporary, quality=args.quality, optimize=True)
    print(f'Wrote {args.out}: {sheet.shape[1]} x {sheet.shape[0]} pixels.')
    return 0


if __name__ == '__main__':
    run_command(main)
