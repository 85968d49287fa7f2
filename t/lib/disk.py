"""A disk for the server under test that hangs or fails when it is told to."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile

import tap
from bindery import program

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "disk.c")


def sanitizer_of(path):
    """The sanitizer's library that a program wants to come first, if any."""
    listing = subprocess.run(["ldd", path], capture_output=True, text=True)
    return re.findall(r"=> (\S*/lib[at]san\.so\S*)", listing.stdout)


class Disk:
    """Servers that are started within it sync by its rules.

        with Disk() as disk, Server(...) as server:
            disk.tell("hang")
    """

    def __enter__(self):
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            tap.skip("there is no C compiler")
        self.folder = tempfile.mkdtemp(prefix="bindery-disk-")
        library, self.word = (os.path.join(self.folder, name)
                              for name in ("disk.so", "word"))
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE,
                        "-ldl"], check=True)
        self.tell("work")
        preload = [*sanitizer_of(program("binderyd")), library]
        self.before = os.environ.get("BINDERY_WRAP", "")
        os.environ["BINDERY_WRAP"] = shlex.join(
            ["env", f"BINDERY_DISK={self.word}",
             f"LD_PRELOAD={' '.join(preload)}"]) + " " + self.before
        return self

    def __exit__(self, *_):
        os.environ["BINDERY_WRAP"] = self.before
        shutil.rmtree(self.folder, ignore_errors=True)

    def tell(self, word):
        """work, fail or hang."""
        with open(self.word + ".new", "w", encoding="utf-8") as file:
            file.write(word)
        os.replace(self.word + ".new", self.word)
