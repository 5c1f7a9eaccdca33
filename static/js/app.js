// Everything the pages do by script. Without it they can still be read, and every form works.
import "./theme-switch.js";
import "./dialogs.js";
import "./toasts.js";
import "./forms.js";
import "./drafts.js";
import "./live.js";
import "./clocks.js";
import "./freshness.js";
import "./copy.js";
import "./tabs.js";
import "./keys.js";
import "./palette.js";
import "./retry.js";
