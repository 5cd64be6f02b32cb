"""OpenSSH's sftp and scp with our server behind them."""

import filecmp
import hashlib
import os
import random
import shutil
import stat
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SERVER = os.environ.get(
    "OPENSHELL_SFTP_TOOL", os.path.join(ROOT, "build", os.uname().machine, "test", "sftp", "sftp")
)
SECONDS = 120
NOBODY = 65534
MIB = 1 << 20


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(MIB):
            h.update(piece)
    return h.hexdigest()


def picture(top):
    """All that is below a folder: {path: (kind, permissions, time, content)}."""
    seen = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            content = digest(path) if stat.S_ISREG(st.st_mode) else None
            seen[os.path.relpath(path, top)] = (stat.filemode(st.st_mode), int(st.st_mtime), content)
    return seen


@unittest.skipUnless(shutil.which("sftp"), "no sftp of OpenSSH")
class OpensshTest(unittest.TestCase):
    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="openshell-sftp-")
        self.addCleanup(shutil.rmtree, self.top)
        self.there, self.here = os.path.join(self.top, "there"), os.path.join(self.top, "here")
        os.mkdir(self.there)
        os.mkdir(self.here)
        self.env = {**os.environ, "OPENSHELL_SFTP_HOME": self.there, "HOME": self.there, "TZ": "UTC"}

    def run_client(self, command, text, good):
        done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=self.here,
                              env=self.env, timeout=SECONDS, check=False)
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode == 0, good, said)
        return said

    def sftp(self, *commands, good=True, options=()):
        """Runs them in turn; a batch ends with the first that fails, unless it begins with a dash."""
        return self.run_client(["sftp", *options, "-b", "-", "-D", SERVER],
                               "".join(c + "\n" for c in commands), good)

    def scp(self, *words, good=True):
        return self.run_client(["scp", "-D", SERVER, *words], None, good)

    def make(self, name, size=100, where=None):
        path = os.path.join(where or self.here, name)
        with open(path, "wb") as f:
            f.write(random.randbytes(size))
        return path

    def make_tree(self, top):
        """Folders within folders, files of many sizes, names that are no words, and old times."""
        sizes = [0, 1, 4095, 4096, 32767, 32768, 32769, 261120, 261121, 262144, 700001]
        for depth in range(30):
            folder = os.path.join(top, *["d"] * depth)
            os.makedirs(folder, exist_ok=True)
            for i in range(10):
                self.make(f"file {i} \N{SNOWMAN}*'\"", sizes[(depth + i) % len(sizes)] if depth < 5 else i, folder)
        for folder, folders, files in os.walk(top, topdown=False):
            for i, name in enumerate(folders + files):
                path = os.path.join(folder, name)
                os.chmod(path, 0o755 if os.path.isdir(path) else (0o600, 0o644, 0o755, 0o440)[i % 4])
                os.utime(path, (1500000000 + i, 1400000000 + i))
        os.utime(top, (1, 1600000000))

    def as_root(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")

    # ---- whole trees ----

    def test_trees_by_sftp(self):
        self.make_tree(os.path.join(self.here, "tree"))
        want = picture(os.path.join(self.here, "tree"))
        self.sftp("put -rp tree", "get -rp tree back")
        self.assertEqual(picture(os.path.join(self.there, "tree")), want)
        self.assertEqual(picture(os.path.join(self.here, "back")), want)

    def test_trees_by_scp(self):
        self.make_tree(os.path.join(self.here, "tree"))
        want = picture(os.path.join(self.here, "tree"))
        self.scp("-rp", "tree", "x:~/copy")
        self.scp("-rp", "x:copy", "back")
        self.assertEqual(picture(os.path.join(self.there, "copy")), want)
        self.assertEqual(picture(os.path.join(self.here, "back")), want)

    def test_scp_to_a_new_name_a_folder_and_over_a_file(self):
        os.mkdir(os.path.join(self.there, "d"))
        one, two = self.make("one"), self.make("two", 50)
        self.scp("one", "x:new")
        self.scp("one", "two", "x:d")
        self.scp("two", "x:new")
        self.assertEqual(digest(f"{self.there}/new"), digest(two))
        self.assertEqual(digest(f"{self.there}/d/one"), digest(one))
        self.scp("one", "x:none/none", good=False)
        self.scp("x:none", ".", good=False)
        self.scp("x:d/*", ".")

    def test_a_folder_of_ten_thousand_files(self):
        for i in range(10000):
            os.close(os.open(f"{self.there}/{i:05}", os.O_CREAT | os.O_WRONLY))
        said = self.sftp("ls -1")
        self.assertEqual([line for line in said.splitlines() if line.isdigit()],
                         [f"{i:05}" for i in range(10000)])
        self.assertEqual(len(self.sftp("ls -la").splitlines()), 10003)
        self.sftp("rm *")
        self.assertEqual(os.listdir(self.there), [])

    # ---- large files ----

    def test_a_gibibyte_with_holes(self):
        sparse = f"{self.here}/sparse"
        with open(sparse, "wb") as f:
            for at in (0, 77 * MIB + 5, 511 * MIB, 1023 * MIB):
                f.seek(at)
                f.write(random.randbytes(MIB))
        self.sftp("put sparse")
        self.assertTrue(filecmp.cmp(sparse, f"{self.there}/sparse", shallow=False))
        os.rename(sparse, f"{self.there}/holes")
        self.sftp("get holes")
        self.assertTrue(filecmp.cmp(f"{self.here}/holes", f"{self.there}/holes", shallow=False))

    def test_goes_on_where_it_was_cut(self):
        whole = self.make("f", 3 * MIB + 17)
        shutil.copy(whole, f"{self.there}/g")
        for path in (f"{self.there}/f", f"{self.here}/g"):
            with open(whole, "rb") as src, open(path, "wb") as cut:
                cut.write(src.read(MIB + 3))
        self.sftp("reput f", "reget g")
        self.assertEqual(digest(f"{self.there}/f"), digest(whole))
        self.assertEqual(digest(f"{self.here}/g"), digest(whole))

    def test_small_buffers_and_many_requests(self):
        whole = self.make("f", 2 * MIB + 1)
        for options in (("-B", "1000", "-R", "256"), ("-B", "261120", "-R", "64"), ("-B", "1", "-R", "1")):
            if options[1] == "1":
                whole = self.make("f", 3000)
            self.sftp("put f", "get f back", options=options)
            self.assertEqual(digest(f"{self.here}/back"), digest(whole), options)

    # ---- names and attributes ----

    def test_renames(self):
        a, _ = self.make("a", where=self.there), self.make("b", where=self.there)
        want = digest(a)
        self.sftp("rename a b")  # over an existing one, by the extension
        self.assertEqual(digest(f"{self.there}/b"), want)
        self.make("a", where=self.there)
        self.assertIn("Failure", self.sftp("rename -l a b", good=False))
        self.assertEqual(digest(f"{self.there}/b"), want)
        self.sftp("rename -l a c")

    def test_links(self):
        self.make("f", where=self.there)
        self.sftp("ln f hard", "ln -s f soft", "ln -s /nowhere dangling")
        self.assertEqual(os.stat(f"{self.there}/f").st_nlink, 2)
        self.assertEqual(os.readlink(f"{self.there}/soft"), "f")
        said = self.sftp("ls -l")
        self.assertRegex(said, r"lrwxrwxrwx .* dangling")
        self.sftp("get soft got", "-get dangling", "rm dangling")
        self.assertEqual(digest(f"{self.here}/got"), digest(f"{self.there}/f"))

    def test_attributes(self):
        self.make("f", where=self.there)
        os.utime(f"{self.there}/f", (1, 1000000000))
        self.sftp("chmod 4751 f", f"chown {os.getuid()} f", f"chgrp {os.getgid()} f", "chmod 751 f")
        self.assertEqual(stat.S_IMODE(os.stat(f"{self.there}/f").st_mode), 0o751)
        said = self.sftp("ls -ln f")
        self.assertRegex(said, r"(?m)^-rwxr-x--x .* 100 Sep  9  2001 f$")
        self.assertRegex(self.sftp("ls -l f"), r"(?m)^-rwxr-x--x .* 100 Sep  9  2001 f$")
        self.sftp("get -p f")
        self.assertEqual(int(os.stat(f"{self.here}/f").st_mtime), 1000000000)

    def test_folders(self):
        self.sftp("mkdir d", "cd d", "mkdir e", "cd ..", "rmdir d/e", "pwd")
        said = self.sftp("mkdir d", good=False)
        self.assertIn("Failure", said)
        self.assertIn("No such file", self.sftp("cd none", good=False))
        self.assertIn("not found", self.sftp("get none", good=False))
        self.sftp("rmdir d")

    def test_df(self):
        said = self.sftp("df", "df -i", "df -h .")
        self.assertIn("%Capacity", said)
        size = os.statvfs(self.there)
        self.assertIn(str(size.f_blocks * size.f_frsize // 1024), said)

    def test_names_of_an_image_without_any(self):
        self.as_root()
        self.make("f", where=self.there)
        os.chown(f"{self.there}/f", 4321, 8765)
        self.env["OPENSHELL_SFTP_ROOT"] = self.there
        self.assertRegex(self.sftp("ls -l"), r"(?m)^-rw-r--r--   1 4321     8765          100 ")
        os.mkdir(f"{self.there}/etc")
        with open(f"{self.there}/etc/passwd", "w", encoding="ascii") as f:
            f.write("someone:x:4321:1::/home:/bin/sh\n")
        self.assertRegex(self.sftp("ls -l"), r"(?m)^-rw-r--r--   1 someone  8765          100 ")

    # ---- refusals ----

    def test_no_space_left(self):
        self.as_root()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "none", self.there], check=True)
        self.addCleanup(subprocess.run, ["umount", self.there], check=True)
        self.make("f", 4 * MIB)
        self.make("small", 1000)
        self.assertIn("Failure", self.sftp("put f", good=False))
        self.sftp("-put f", "rm f", "put small")
        self.assertEqual(digest(f"{self.there}/small"), digest(f"{self.here}/small"))

    def test_permission_denied(self):
        self.as_root()
        self.env["OPENSHELL_SFTP_ID"] = str(NOBODY)
        os.chmod(self.top, 0o755)
        self.make("f", where=self.there)
        os.chmod(f"{self.there}/f", 0o600)
        self.make("mine")
        for command in ("put mine", "get f", "rm f", "mkdir d", "chmod 777 f", "rename f g", "ln -s x y"):
            self.assertIn("ermission denied", self.sftp(command, good=False), command)

    def test_nothing_of_the_server_is_shown(self):
        for command in ("get /proc/self/maps", "get /proc/self/mem", "get /proc/self/environ", "ls /proc/self/fd"):
            self.assertIn("ermission denied", self.sftp(command, good=False), command)
