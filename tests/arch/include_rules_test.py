"""This repository keeps the rules of docs/architecture.md, and the rules catch broken trees."""

import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/arch"), str(ROOT / "tools/lib")]

import include_rules  # noqa: E402
import unittest_xml  # noqa: E402

GOOD_TREE = {
    "controller/base/CMakeLists.txt": "cipe_library(base SRCS clock.cc LIBS absl::status)",
    "controller/base/clock.h": "#include <cstdint>\n",
    "controller/base/clock.cc": '#include "base/clock.h"\n',
    "controller/crypto/CMakeLists.txt": "cipe_library(crypto\n  SRCS aead.cc\n  DEPS base)",
    "controller/crypto/aead.cc": '#include <openssl/evp.h>\n#include "base/clock.h"\n',
    "controller/session/CMakeLists.txt": "cipe_library(session DEPS base crypto)",
    "controller/session/session.h": '#include "crypto/aead.h"\n#include "cipe/abi/maps.h"\n',
    "controller/engine/CMakeLists.txt": "cipe_library(engine DEPS session)  # not base",
    "controller/engine/engine.cc": '#include "session/session.h"\n',
    "controller/netlink/CMakeLists.txt": "cipe_library(netlink DEPS base)",
    "controller/netlink/link.cc": "#include <libmnl/libmnl.h>\n",
    "controller/steering/CMakeLists.txt": "cipe_library(steering DEPS base)",
    "controller/steering/program.cc": '#include "cipe_xdp.skel.h"\n',
    "controller/control/CMakeLists.txt": "cipe_library(control DEPS base)",
    "include/cipe/abi/maps.h": "#include <linux/types.h>\n",
    "include/cipe/abi/drop_reasons.h": "#define CIPE_DROP_REASONS 192\n",
    "include/cipe/abi/drop_reasons.def":
        '/* the list */\nCIPE_DROP(1, xdp_short, "too short")\nCIPE_DROP(2, rx_tag, "bad tag")\n',
    "bpf/cipe_xdp.bpf.c":
        '#include <linux/bpf.h>\n#include "parse.h"\n#include "cipe/abi/maps.h"\n',
    "bpf/parse.h": "#include <bpf/bpf_helpers.h>\n",
    "tools/cipectl/main.cc":
        '#include <CLI/CLI.hpp>\n#include "control/client.h"\n#include "tools/cipectl/show.h"\n',
}


class RulesTest(unittest.TestCase):
    """Each case breaks one rule in an otherwise good miniature tree."""

    def check(self, changes):
        with tempfile.TemporaryDirectory() as name:
            tree = pathlib.Path(name)
            for path, text in {**GOOD_TREE, **changes}.items():
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                (tree / path).write_text(text)
            return include_rules.check_tree(tree)

    def expect(self, changes, *words):
        problems = self.check(changes)
        self.assertEqual(len(problems), 1, problems)
        for word in words:
            self.assertIn(word, problems[0])

    def test_good_tree_has_no_problems(self):
        self.assertEqual(self.check({}), [])

    def test_undeclared_folder(self):
        self.expect({"controller/base/clock.cc": '\n#include "session/session.h"\n'},
                    "controller/base/clock.cc:2", "session/session.h", "not among the DEPS")

    def test_indirect_dependency_is_not_enough(self):
        self.expect({"controller/engine/engine.cc": '#include "base/clock.h"\n'},
                    "controller/engine/engine.cc:1", "base")

    def test_include_in_a_subfolder_of_a_folder(self):
        self.expect({"controller/base/deep/x.cc": '#include "engine/engine.h"\n'}, "base/deep/x.cc")

    def test_include_in_a_comment_does_not_count(self):
        self.assertEqual(
            self.check({"controller/base/clock.cc": '/*\n#include "engine/engine.h"\n*/\n'}), [])

    def test_spaces_do_not_hide_an_include(self):
        self.expect({"controller/base/clock.cc": '  #  include "engine/engine.h"\n'}, "engine")

    def test_angle_brackets_do_not_hide_an_include(self):
        self.expect({"controller/base/clock.cc": "#include <engine/engine.h>\n"}, "our own headers")

    def test_climbing_path(self):
        self.expect({"controller/base/clock.cc": '#include "../engine/engine.h"\n'}, "climbs")

    def test_cycle(self):
        self.expect({"controller/crypto/CMakeLists.txt": "cipe_library(crypto DEPS base session)"},
                    "cycle", "crypto -> session -> crypto")

    def test_self_dependency_is_a_cycle(self):
        self.expect({"controller/base/CMakeLists.txt": "cipe_library(base DEPS base)"}, "cycle")

    def test_unknown_dependency(self):
        self.expect({"controller/base/CMakeLists.txt": "cipe_library(base DEPS nowhere)"}, "nowhere")

    def test_target_named_unlike_its_folder(self):
        self.expect({"controller/base/CMakeLists.txt": "cipe_library(basis SRCS clock.cc)"}, "basis")

    def test_sources_without_target(self):
        self.expect({"controller/stray/x.cc": "int x;\n"}, "stray", "no cipe_library")

    def test_bpf_includes_controller(self):
        self.expect({"bpf/parse.h": '#include "base/clock.h"\n'}, "bpf/parse.h:1", "base/clock.h")

    def test_bpf_includes_other_public_headers(self):
        self.expect({"bpf/parse.h": '#include "cipe/control/schema.h"\n'}, "cipe/control/schema.h")

    def test_bpf_includes_user_space_header(self):
        self.expect({"bpf/parse.h": "#include <string.h>\n"}, "string.h")

    def test_public_header_includes_controller(self):
        self.expect({"include/cipe/abi/maps.h": '#include "base/clock.h"\n'}, "include/cipe/abi")

    def test_cipectl_includes_engine(self):
        self.expect({"tools/cipectl/main.cc": '#include "engine/engine.h"\n'},
                    "tools/cipectl/main.cc:1", "engine")

    def test_cipectl_includes_openssl(self):
        self.expect({"tools/cipectl/main.cc": "#include <openssl/evp.h>\n"}, "OpenSSL")

    def test_skeleton_outside_steering(self):
        self.expect({"controller/session/session.h": '#include "cipe_xdp.skel.h"\n'},
                    "skeleton", "controller/steering")

    def test_libmnl_outside_netlink(self):
        self.expect({"controller/base/clock.h": "#include <libmnl/libmnl.h>\n"}, "libmnl")

    def test_openssl_outside_crypto(self):
        self.expect({"controller/session/session.h": "#include <openssl/evp.h>\n"}, "OpenSSL")

    def test_ipsec_mb_outside_crypto(self):
        self.expect({"controller/session/session.h": "#include <intel-ipsec-mb.h>\n"}, "ipsec-mb")

    def test_drop_number_used_twice(self):
        self.expect({"include/cipe/abi/drop_reasons.def":
                     'CIPE_DROP(1, a, "first")\nCIPE_DROP(1, b, "second")\n'}, "number '1'")

    def test_drop_name_used_twice(self):
        self.expect({"include/cipe/abi/drop_reasons.def":
                     'CIPE_DROP(1, a, "first")\nCIPE_DROP(2, a, "second")\n'}, "name 'a'")

    def test_drop_sentence_used_twice(self):
        self.expect({"include/cipe/abi/drop_reasons.def":
                     'CIPE_DROP(1, rx_a, "same")\nCIPE_DROP(2, rx_b, "same")\n'},
                    "sentence 'rx: same'")

    def test_drop_number_too_great(self):
        self.expect({"include/cipe/abi/drop_reasons.def": 'CIPE_DROP(192, a, "far")\n'}, "192")

    def test_drop_line_without_sentence(self):
        self.expect({"include/cipe/abi/drop_reasons.def":
                     'CIPE_DROP(1, a, "x")\nCIPE_DROP(2, b)\n'}, "drop_reasons.def:2")


class RepositoryTest(unittest.TestCase):

    def test_no_rule_is_broken(self):
        self.assertEqual(include_rules.check_tree(ROOT), [])


if __name__ == "__main__":
    unittest_xml.main()
