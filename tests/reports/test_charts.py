import re
from itertools import combinations

import pytest
from conftest_types import MakeResult
