import * as React from 'react';

interface IProps {
  readonly children: React.ReactNode;
}

/**
 * Keeps what stands below where it is on the page while a new report is drawn above it: a reader who pressed a button
 * there wants to see what came of it, and the report has become longer or shorter by a page.
 */
export class Stay extends React.Component<IProps> {
  /** Where the end of the report is, if that is what the reader sees of it and nothing in it was touched last. */
  override getSnapshotBeforeUpdate(): number | null {
    const node = this._ref.current;
    const scroller = node === null ? null : scrollerOf(node);
    if (node === null || scroller === null || node.contains(document.activeElement)) {
      return null;
    }
    const [{ top, bottom }, seen] = [node.getBoundingClientRect(), scroller.getBoundingClientRect()];
    return top < seen.top && bottom <= seen.bottom ? bottom : null;
  }

  override componentDidUpdate(_props: IProps, _state: unknown, before: number | null): void {
    const node = this._ref.current;
    const scroller = node === null || before === null ? null : scrollerOf(node);
    if (node !== null && before !== null && scroller !== null) {
      scroller.scrollTop += node.getBoundingClientRect().bottom - before;
      showVerdict(node, scroller);
    }
  }

  override render(): React.ReactNode {
    return <div ref={this._ref}>{this.props.children}</div>;
  }

  private readonly _ref = React.createRef<HTMLDivElement>();
}

/** The controls have become shorter, too: what they said last comes back into view, if any of them is. */
function showVerdict(node: HTMLElement, scroller: HTMLElement): void {
  const controls = node.closest('.jp-OutputArea')?.querySelector('.jupyter-optim-panel');
  const [place, seen] = [controls?.getBoundingClientRect(), scroller.getBoundingClientRect()];
  if (place !== undefined && place.top < seen.bottom && place.bottom > seen.top) {
    controls?.querySelector('[role=status]')?.scrollIntoView({ block: 'nearest' });
  }
}

/** What scrolls this element: the notebook or, where outputs are short boxes, its output. */
function scrollerOf(node: HTMLElement): HTMLElement | null {
  for (let at = node.parentElement; at !== null; at = at.parentElement) {
    if (at.scrollHeight > at.clientHeight && /auto|scroll/.test(getComputedStyle(at).overflowY)) {
      return at;
    }
  }
  return null;
}
