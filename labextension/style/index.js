import './base.css';
import './marks.css';
import './toolbar.css';
