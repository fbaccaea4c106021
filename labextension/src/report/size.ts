import * as React from 'react';

/** The width that an element has, 0 while it is not on the page, and a ref that goes to it. */
export function useWidth<T extends HTMLElement>(): [React.RefObject<T>, number] {
  const ref = React.useRef<T>(null);
  const [width, setWidth] = React.useState(0);
  React.useEffect(() => {
    const node = ref.current;
    if (node === null) {
      return;
    }
    // tells the first size too, once the element is laid out
    const observer = new ResizeObserver(entries => {
      const found = entries[entries.length - 1]?.contentRect.width ?? 0;
      setWidth(Math.floor(found));
    });
    observer.observe(node);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}
