// Labels of points that cover neither each other nor the points.

export interface IBox {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface ISpot {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
  readonly text: string;
}

export interface ILabel extends IBox {
  readonly text: string;
  /** Which end of the text to hold on to: the one beside the spot. */
  readonly anchor: 'start' | 'middle' | 'end';
}

/** Widths of letters in the chart's small print: rather too wide than too narrow. */
const LETTER = 7;
const WIDE = 11;
const NARROW = 4.5;
const HEIGHT = 13;
const GAP = 3;

/**
 * A label for each spot that has room for one, those that come first before the others; null where none fits.
 * `taken` is what no label may cover.
 */
export function placedLabels(
  spots: ReadonlyArray<ISpot>,
  frame: IBox,
  taken: ReadonlyArray<IBox>
): ReadonlyArray<ILabel | null> {
  const placed: IBox[] = [...taken, ...spots.map(around)];
  const texts = new Set<string>();
  return spots.map((spot, own) => {
    // a name that stands there already says nothing new
    if (texts.has(spot.text)) {
      return null;
    }
    const others = placed.filter((_, i) => i !== taken.length + own);
    const free = candidates(spot).find(
      box => within(box, frame) && !others.some(other => overlap(box, other))
    );
    if (free === undefined) {
      return null;
    }
    placed.push(free);
    texts.add(spot.text);
    return free;
  });
}

export function textWidth(text: string): number {
  return [...text].reduce(
    (sum, letter) => sum + ('mwMW@%'.includes(letter) ? WIDE : "ijltfr.:,'I ".includes(letter) ? NARROW : LETTER),
    0
  );
}

export function overlap(a: IBox, b: IBox): boolean {
  return (
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
  );
}

function around({ x, y, radius }: ISpot): IBox {
  return { x: x - radius, y: y - radius, width: 2 * radius, height: 2 * radius };
}

function within(box: IBox, frame: IBox): boolean {
  return (
    box.x >= frame.x &&
    box.y >= frame.y &&
    box.x + box.width <= frame.x + frame.width &&
    box.y + box.height <= frame.y + frame.height
  );
}

function candidates({ x, y, radius, text }: ISpot): ILabel[] {
  const width = textWidth(text);
  const away = radius + GAP;
  const [right, left, middle] = [x + away, x - away - width, x - width / 2];
  const [above, below, level] = [y - away - HEIGHT, y + away, y - HEIGHT / 2];
  return (
    [
      [right, level, 'start'],
      [left, level, 'end'],
      [middle, above, 'middle'],
      [middle, below, 'middle'],
      [right, above, 'start'],
      [right, below, 'start'],
      [left, above, 'end'],
      [left, below, 'end']
    ] as const
  ).map(([boxX, boxY, anchor]) => ({ x: boxX, y: boxY, width, height: HEIGHT, text, anchor }));
}

/** Where the text of a label is held. */
export function anchorOf(label: ILabel): number {
  return label.x + { start: 0, middle: label.width / 2, end: label.width }[label.anchor];
}
