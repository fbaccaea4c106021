import './base.css';
import './charts.css';
import './tables.css';
