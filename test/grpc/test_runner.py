"""runner.Result: what it says of tests that fail in their own ways."""

import contextlib
import io
import unittest

from runner import Result


def told_of(case):
    """What the tests of a class made of a run of their own: the result, and what it printed."""
    result, out = Result(), io.StringIO()
    with contextlib.redirect_stdout(out):
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    return result, out.getvalue()


class ResultTest(unittest.TestCase):
    def test_a_class_that_cannot_be_set_up(self):
        class Broken(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                raise OSError("no room")

            def test_one(self):
                pass

        result, out = told_of(Broken)
        self.assertEqual((len(result.errors), result.passed), (1, 0))
        self.assertRegex(out, r"^FAIL setUpClass \(.*Broken\) \(")
        self.assertIn("OSError: no room", out)

    def test_a_class_that_is_skipped(self):
        class Elsewhere(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                raise unittest.SkipTest("not here")

            def test_one(self):
                pass

        result, out = told_of(Elsewhere)
        self.assertEqual((len(result.skipped), result.passed), (1, 0))
        self.assertRegex(out, r"^SKIP setUpClass .*: not here$")

    def test_a_part_that_fails_after_another_test_has(self):
        class Parts(unittest.TestCase):
            def test_1(self):
                self.fail("the first")

            def test_2(self):
                with self.subTest("part"):
                    raise KeyError("the second")

        result, out = told_of(Parts)
        self.assertEqual((len(result.failures), len(result.errors)), (1, 1))
        self.assertEqual((out.count("the first"), out.count("the second")), (2, 2))
