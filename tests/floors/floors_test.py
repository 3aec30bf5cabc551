#!/usr/bin/env python3
"""Can the floors test fail? Each rule is broken once in a small house of our own."""
import os
import tempfile
import unittest

import floors

PAUSE = "time.sl" + "eep(%s)\n"  # in pieces: this file is read by the test too

SOUND = {
    "job/job.h": '#include <stdint.h>\n',
    "job/spec.c": '#include "job/job.h"\n',
    "db/db.h": "",
    "db/private.h": "",
    "api/api.h": '#include "db/db.h"\n#include "job/job.h"\n',
    "daemon/main.c": '#include "api/api.h"\n/* never sleep(1) */ const char *s = "rand()";\n',
    "cli/main.c": '#include "job/job.h"\n',
    "gpu/gpu.h": '#include "job/job.h"\n',
    "gpu/backend/backend.h": '#include "job/job.h"\n',
    "gpu/backend/onednn.c": '#include "gpu/backend/backend.h"\n#include <dnnl.h>\n',
    "gpu/nn/plan.c": '#include "gpu/backend/backend.h"\n',
    "gpu/nn/plan.h": "",
    "gpu/data/idx.c": '#include "gpu/backend/backend.h"\n',
    "gpu/rift/train.c": '#include "gpu/nn/plan.h"\n#include "gpu/gpu.h"\n',
    "gpu/rift/train.h": "",
    "gpu/worker/main.c": '#include "gpu/gpu.h"\n',
    "tests/job/test.c": '#include "api/private_is_fine_here.h"\n',
    "quick": "#!/bin/bash\nwhile true; do sleep 0.05; done\n",
    "tests/x/test_y.py": PAUSE % "0.05",
}

# What is added to the sound house, and a part of what must be said about it.
BROKEN = [
    ("an upward include is found", {"job/x.c": '#include "db/db.h"\n'}, "job must not include"),
    ("the command line must not look into the database", {"cli/x.c": '#include "db/db.h"\n'}, "cli must not include"),
    ("the HTTP side must not look into the daemon", {"api/x.c": '#include "daemon/daemon.h"\n'}, "api must not include"),
    ("the daemon must not look into the engine", {"daemon/x.c": '#include "gpu/gpu.h"\n'}, "daemon must not include"),
    ("nn and data don't look sideways", {"gpu/nn/x.c": '#include "gpu/data/dataset.h"\n'}, "gpu/nn must not include"),
    ("data and nn don't look sideways", {"gpu/data/x.c": '#include "gpu/nn/plan.h"\n'}, "gpu/data must not include"),
    ("the seam doesn't look up", {"gpu/backend/x.c": '#include "gpu/nn/plan.h"\n'}, "gpu/backend must not include"),
    ("an include with spaces is read too", {"job/x.c": '  #  include "db/db.h"\n'}, "job must not include"),
    ("an include by way of .. is followed", {"api/x.c": '#include "../db/private.h"\n'}, "is private to db"),
    ("a private header stays in its folder", {"daemon/x.c": '#include "db/private.h"\n'}, "is private to db"),
    ("the engine sees only job's public header", {"gpu/nn/x.c": '#include "job/fields.h"\n'}, "is private to job"),
    ("a new folder needs a floor", {"util/x.c": ""}, "has no floor"),
    ("an include of nowhere is found", {"job/x.c": '#include "util/x.h"\n'}, "in no folder of the house"),
    ("a device library above the seam is found", {"gpu/rift/x.c": "/* CUDA streams */\n"}, "above the seam"),
    ("a device library in the public header is found", {"gpu/gpu.h": "void dnnl_thing(void);\n"}, "above the seam"),
    ("JSON that is read past json_read is found", {"api/x.c": "void f(void) { json_loads(text, 0, NULL); }\n"}, "past json_read"),
    ("a long file is found", {"job/x.c": "\n" * 601}, "601 lines"),
    ("unfinished work is found", {"job/x.c": "/* TO" + "DO: more */\n"}, "unfinished"),
    ("unfinished work is found in tests", {"tests/x/a.py": "# FIX" + "ME\n"}, "unfinished"),
    ("sleep is found", {"daemon/x.c": "void f(void) { usleep (5); }\n"}, "sleeps"),
    ("sleep is found in tests", {"tests/x/x.c": "void f(void) { sl" + "eep(1); }\n"}, "sleeps"),
    ("libc's random numbers are found", {"gpu/rift/x.c": "int f(void) { return rand(); }\n"}, "random numbers"),
    ("a long pause in Python is found", {"tests/x/a.py": PAUSE % "1"}, "sleeps longer"),
    ("a pause of unknown length is found", {"tests/x/a.py": PAUSE % "delay"}, "sleeps longer"),
    ("a long pause in a shell script is found", {"quick": "#!/bin/sh\nsl" + "eep 2\n"}, "sleeps longer"),
]


def findings_of(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        return floors.check(root)


class Floors(unittest.TestCase):
    def test_a_sound_house_has_no_findings(self):
        findings, count = findings_of(SOUND)
        self.assertEqual(findings, [])
        self.assertEqual(count, len(SOUND))

    def test_each_broken_rule_is_found_and_named(self):
        for sentence, files, said in BROKEN:
            with self.subTest(sentence):
                findings, _ = findings_of({**SOUND, **files})
                self.assertEqual({finding.path for finding in findings}, set(files))
                self.assertIn(said, findings[0].message)

    def test_a_program_linked_to_a_device_library_is_found(self):
        with tempfile.TemporaryDirectory() as build, tempfile.TemporaryDirectory() as tools:
            open(os.path.join(build, "riftd"), "w").close()
            ldd = os.path.join(tools, "ldd")
            for library, expected in (("libdnnl.so.2", 1), ("libcudart.so.12", 1), ("libjansson.so.4", 0)):
                with open(ldd, "w", encoding="utf-8") as file:
                    file.write(f"#!/bin/sh\necho '\t{library} => /usr/lib/{library} (0x1)'\n")
                os.chmod(ldd, 0o755)
                path = os.environ["PATH"]
                os.environ["PATH"] = tools + ":" + path
                try:
                    self.assertEqual(len(list(floors.check_links(build))), expected, library)
                finally:
                    os.environ["PATH"] = path


if __name__ == "__main__":
    unittest.main()
