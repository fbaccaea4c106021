import * as React from 'react';

/** How far outside of what is seen something is drawn ahead of the reader, in pixels. */
const AHEAD = '800px 0px';

/**
 * Draws what it holds once the reader comes near or the browser has nothing else to do, so that a notebook with many
 * reports opens at once. `height` keeps its place until then.
 */
export function Later({
  height,
  children
}: {
  readonly height: number;
  readonly children: () => React.ReactNode;
}): React.ReactElement {
  const ref = React.useRef<HTMLDivElement>(null);
  const [due, setDue] = React.useState(false);
  React.useEffect(() => {
    const node = ref.current;
    if (node === null || due) {
      return;
    }
    const draw = (): void => setDue(true);
    const observer = new IntersectionObserver(
      entries => entries.some(entry => entry.isIntersecting) && draw(),
      { rootMargin: AHEAD }
    );
    observer.observe(node);
    const idle = window.requestIdleCallback?.(draw);
    return () => {
      observer.disconnect();
      if (idle !== undefined) {
        window.cancelIdleCallback(idle);
      }
    };
  }, [due]);
  return due ? <>{children()}</> : <div ref={ref} style={{ minHeight: height }} />;
}
