import * as React from 'react';

/** The width that an element has, 0 while it is not on the page, and a ref that goes to it. */
export function useWidth<T extends HTMLElement>(): [React.RefCallback<T>, number] {
  const watching = React.useRef<ResizeObserver | null>(null);
  const [width, setWidth] = React.useState(0);
  // told of the element whenever it comes: a chart may have nothing to draw at first
  const ref = React.useCallback((node: T | null) => {
    watching.current?.disconnect();
    watching.current = null;
    if (node !== null) {
      // tells the first size too, once the element is laid out
      watching.current = new ResizeObserver(entries => {
        const found = entries[entries.length - 1]?.contentRect.width ?? 0;
        setWidth(Math.floor(found));
      });
      watching.current.observe(node);
    }
  }, []);
  return [ref, width];
}
