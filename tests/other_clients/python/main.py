"""kazoo's operations and recipes, against the servers of a connect string.

    python3 main.py CONNECT_STRING          checks all, and ends with 0 if they do what they should
    python3 main.py CONNECT_STRING lead     leads the election at /killed/election until killed
"""

import faulthandler
import sys
import time

import operations
import recipes
from common import close_all

if sys.argv[2:] == ["lead"]:
    recipes.lead_until_killed()
    sys.exit()

# Says where it hangs, if it does, before the time limit of the test.
faulthandler.dump_traceback_later(55)
for check in operations.ALL + recipes.ALL:
    started = time.monotonic()
    print("%s ..." % check.__name__, flush=True)
    check()
    close_all()
    print("%s: %.1f s" % (check.__name__, time.monotonic() - started), flush=True)
faulthandler.cancel_dump_traceback_later()
print("all done")
