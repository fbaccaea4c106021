import * as React from 'react';

/** Rows drawn beyond what is seen, so that a turn of the wheel meets rows and not a gap. */
const BEYOND = 6;

export interface IWindow {
  readonly ref: React.RefObject<HTMLDivElement>;
  readonly first: number;
  readonly end: number;
  /** How many there are at most: the element of a row that is gone serves again for the one so many rows on. */
  readonly size: number;
  readonly onScroll: () => void;
  /** Whether columns are scrolled away: the first one stands still then, which costs time in each frame. */
  readonly aside: boolean;
  /** Bring a row into view. */
  readonly reveal: (row: number) => void;
}

/** Which of `count` rows of one height to draw in a box that scrolls. */
export function useWindow(count: number, rowHeight: number, boxHeight: number): IWindow {
  const ref = React.useRef<HTMLDivElement>(null);
  const [top, setTop] = React.useState(0);
  const [aside, setAside] = React.useState(false);
  const seen = Math.ceil(boxHeight / rowHeight);
  const size = seen + 3 * BEYOND;
  const first = Math.max(0, Math.min(top, count - seen) - BEYOND);
  const onScroll = React.useCallback(() => {
    const scrolled = Math.floor((ref.current?.scrollTop ?? 0) / rowHeight);
    setAside((ref.current?.scrollLeft ?? 0) > 0);
    // in steps, so that not every pixel draws anew
    setTop(before => (Math.abs(scrolled - before) >= BEYOND / 2 || scrolled === 0 ? scrolled : before));
  }, [rowHeight]);
  React.useEffect(() => {
    const box = ref.current;
    if (box === null) {
      return;
    }
    // back on the page, it stands at its top again, and no event tells
    const observer = new ResizeObserver(onScroll);
    observer.observe(box);
    return () => observer.disconnect();
  }, [onScroll]);
  const reveal = React.useCallback(
    (row: number) => {
      const box = ref.current;
      if (box === null) {
        return;
      }
      const [above, below] = [row * rowHeight, (row + 2) * rowHeight];
      if (above < box.scrollTop) {
        box.scrollTop = above;
      } else if (below > box.scrollTop + boxHeight) {
        box.scrollTop = below - boxHeight;
      }
      onScroll();
    },
    [rowHeight, boxHeight, onScroll]
  );
  return { ref, first, end: Math.min(count, first + size), size, onScroll, aside, reveal };
}
