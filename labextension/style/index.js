import './base.css';
import './hardware.css';
