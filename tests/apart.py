"""Import it, and what this machine's riftd is told (variables, a file of an installed one) is nothing to those under test."""
import os

for variable in [name for name in os.environ if name.startswith("RIFTD_")]:
    del os.environ[variable]
os.environ["RIFTD_CONFIG"] = "/dev/null"
