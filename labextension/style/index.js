import './base.css';
import './hardware.css';
import './marks.css';
import './toolbar.css';
