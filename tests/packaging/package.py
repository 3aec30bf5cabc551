"""The Debian package of the build under test."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))
import apart  # noqa: E402, F401  (it lies in another folder)

BUILD = pathlib.Path(os.environ["RIFT_BUILD"])


def package_make(folder):
    """Path of a fresh .deb in that folder."""
    made = subprocess.run(["cpack", "--config", BUILD / "CPackConfig.cmake", "-B", folder], cwd=BUILD,
                          capture_output=True, text=True, check=False)
    packages = list(pathlib.Path(folder).glob("*.deb"))
    if made.returncode or len(packages) != 1:
        raise AssertionError(f"cpack made {packages}:\n{made.stdout}\n{made.stderr}")
    return packages[0]
