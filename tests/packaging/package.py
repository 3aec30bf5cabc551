"""The Debian package of the build under test."""
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["RIFT_BUILD"])

# What this machine's riftd is told is nothing to the one that was built.
for variable in [name for name in os.environ if name.startswith("RIFTD_")]:
    del os.environ[variable]


def package_make(folder):
    """Path of a fresh .deb in that folder."""
    made = subprocess.run(["cpack", "--config", BUILD / "CPackConfig.cmake", "-B", folder], cwd=BUILD,
                          capture_output=True, text=True, check=False)
    packages = list(pathlib.Path(folder).glob("*.deb"))
    if made.returncode or len(packages) != 1:
        raise AssertionError(f"cpack made {packages}:\n{made.stdout}\n{made.stderr}")
    return packages[0]
