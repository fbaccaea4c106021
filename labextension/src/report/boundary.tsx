import * as React from 'react';

interface IProps {
  readonly onFailure: (error: Error) => void;
  readonly children: React.ReactNode;
}

/** The edge of what is drawn: one figure that cannot be must not cost the reader the whole output. */
export class Boundary extends React.Component<IProps, { readonly failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override componentDidCatch(error: Error): void {
    console.error(error);
    // not while React is at work: the view is about to be taken away
    queueMicrotask(() => this.props.onFailure(error));
  }

  override render(): React.ReactNode {
    return this.state.failed ? null : this.props.children;
  }
}
