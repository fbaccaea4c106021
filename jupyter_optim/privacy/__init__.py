"""What a report must not tell of its author: user and host names, and where files lie on the machine.

The one door is `private`, through which every report passes before anybody sees it; `Cleaner` does the same for texts
beside a report, such as the details of an error. Who wants paths says ``--with-paths``, and neither is asked.
"""

from jupyter_optim.privacy.cleaner import Cleaner
from jupyter_optim.privacy.data import private
from jupyter_optim.privacy.identity import Identity
from jupyter_optim.privacy.paths import short_path

__all__ = ["Cleaner", "Identity", "private", "short_path"]
