import './base.css';
import './hardware.css';
import './marks.css';
import './toolbar.css';
import './charts.css';
import './tables.css';
