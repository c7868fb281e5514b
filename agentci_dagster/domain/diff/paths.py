"""What a file is for and which language it is in, told from its path alone.

Documentation is the one kind that may skip delivery, so a path is DOCS only when nothing packages
or runs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from agentci_dagster.domain.diff.values import FileKind

_LANGUAGES: dict[str, str] = {
    extension: language
    for language, extensions in {
        "python": "py pyi pyw",
        "cython": "pyx pxd pxi",
        "jupyter": "ipynb",
        "javascript": "js mjs cjs jsx",
        "typescript": "ts tsx mts cts",
        "vue": "vue",
        "svelte": "svelte",
        "java": "java",
        "kotlin": "kt kts",
        "scala": "scala sc",
        "groovy": "groovy gradle",
        "clojure": "clj cljs cljc",
        "go": "go",
        "rust": "rs",
        "c": "c h",
        "c++": "cc cpp cxx hpp hh hxx",
        "objective-c": "m mm",
        "swift": "swift",
        "c#": "cs csx",
        "f#": "fs fsx",
        "visual basic": "vb",
        "ruby": "rb rake erb",
        "php": "php phtml",
        "perl": "pl pm t",
        "lua": "lua",
        "r": "r rmd",
        "julia": "jl",
        "dart": "dart",
        "elixir": "ex exs",
        "erlang": "erl hrl",
        "haskell": "hs lhs",
        "ocaml": "ml mli",
        "zig": "zig",
        "nim": "nim",
        "crystal": "cr",
        "assembly": "asm s",
        "shell": "sh bash zsh fish ksh bats",
        "powershell": "ps1 psm1 psd1",
        "batch": "bat cmd",
        "sql": "sql",
        "graphql": "graphql gql",
        "protobuf": "proto",
        "thrift": "thrift",
        "html": "html htm xhtml",
        "template": "j2 jinja jinja2 mustache hbs ejs tmpl tpl haml slim pug",
        "css": "css scss sass less styl",
        "terraform": "tf tfvars hcl",
        "nix": "nix",
        "cmake": "cmake",
        "yaml": "yaml yml",
        "toml": "toml",
        "json": "json jsonc json5",
        "ini": "ini cfg conf properties env",
        "xml": "xml xsd xsl xslt",
        "mdx": "mdx",
        "markdown": "md markdown",
        "restructuredtext": "rst",
        "asciidoc": "adoc asciidoc",
        "text": "txt",
    }.items()
    for extension in extensions.split()
}
_LANGUAGES_BY_NAME = {
    "dockerfile": "dockerfile",
    "containerfile": "dockerfile",
    "makefile": "make",
    "gnumakefile": "make",
    "cmakelists.txt": "cmake",
    "jenkinsfile": "groovy",
    "rakefile": "ruby",
    "gemfile": "ruby",
    "vagrantfile": "ruby",
    "sconstruct": "python",
    "wscript": "python",
    "build.bazel": "starlark",
    "go.mod": "go-mod",
}
_CODE = frozenset(_LANGUAGES.values()) - frozenset(
    ("yaml", "toml", "json", "ini", "xml", "markdown", "restructuredtext", "asciidoc", "text")
)
_PROSE = frozenset(("markdown", "restructuredtext", "asciidoc"))

_CI = re.compile(
    r"""(.*/)?(
        \.github/(workflows|actions)/.+ | \.github/(dependabot|renovate|labeler|codecov)\.ya?ml
      | \.github/.+\.(sh|py|js)
      | \.gitlab-ci[^/]*\.ya?ml | \.gitlab/ci/.+ | \.circleci/.+ | \.buildkite/.+
      | \.teamcity/.+ | \.ci/.+
      | \.semaphore/.+ | \.drone(\.ya?ml|\.star|\.jsonnet) | \.woodpecker(/.+|\.ya?ml)
      | \.forgejo/.+ | \.gitea/.+
      | \.tekton/.+ | jenkinsfile[^/]* | [^/]+\.jenkinsfile | \.?azure-pipelines[^/]*\.ya?ml
      | \.azure-pipelines/.+
      | bitbucket-pipelines\.ya?ml | \.?appveyor\.ya?ml | \.travis\.ya?ml
      | \.cirrus\.(ya?ml|star) | cloudbuild[^/]*\.ya?ml
      | buildspec[^/]*\.ya?ml | \.pre-commit-config\.ya?ml | \.?readthedocs\.ya?ml
      | \.?codecov\.ya?ml | renovate\.json5? | \.mergify\.ya?ml
    )""",
    re.VERBOSE,
)
_CONTAINER = re.compile(
    r"""(.*/)?(
        (dockerfile|containerfile)([._-][^/]*)? | [^/]+\.(dockerfile|containerfile)
      | \.dockerignore | \.containerignore
      | (docker-)?compose([._-][^/]*)?\.ya?ml | podman-compose[^/]*\.ya?ml
      | docker-bake\.(hcl|json) | docker/.+
      | (charts?|helm)/.+ | chart\.(ya?ml|lock) | values([._-][^/]*)?\.ya?ml
      | helmfile[^/]*\.ya?ml | kustomization\.ya?ml
      | (k8s|kubernetes|manifests|kustomize)/.+\.(ya?ml|json) | skaffold\.ya?ml | tiltfile
      | \.devcontainer/.+
      | docker-entrypoint[^/]*\.sh | entrypoint\.sh | procfile | fly\.toml | serverless\.ya?ml
    )""",
    re.VERBOSE,
)
_DEPENDENCY = re.compile(
    r"""(.*/)?(
        ([^/]*[._-])?(requirements|constraints)([._-][^/]*)?\.(txt|in|pip|lock)
      | requirements/.+\.(txt|in)
      | pyproject\.toml | setup\.(py|cfg) | pipfile(\.lock)?
      | (poetry|uv|pdm|pixi|conda-lock)\.lock | pylock[^/]*\.toml
      | pdm\.toml | pixi\.toml | (conda-)?environment[^/]*\.ya?ml | conda-lock\.ya?ml
      | meta\.ya?ml | manifest\.in
      | package(-lock)?\.json | npm-shrinkwrap\.json | yarn\.lock | pnpm-(lock|workspace)\.yaml
      | bun\.lockb? | deno\.(jsonc?|lock)
      | bower\.json | lerna\.json | \.npmrc | \.yarnrc(\.yml)?
      | go\.(mod|sum|work|work\.sum) | vendor/modules\.txt | gopkg\.(toml|lock)
      | cargo\.(toml|lock) | rust-toolchain(\.toml)?
      | pom\.xml | (build|settings)\.gradle(\.kts)? | gradle\.(properties|lockfile)
      | libs\.versions\.toml
      | gradle-wrapper\.properties | build\.sbt | plugins\.sbt | ivy\.xml | project\.clj | deps\.edn
      | gemfile(\.lock)? | gems\.(rb|locked) | [^/]+\.gemspec | composer\.(json|lock)
      | [^/]+\.(csproj|fsproj|vbproj|sln|nuspec) | packages\.(config|lock\.json)
      | directory\.(packages|build)\.props
      | nuget\.config | paket\.(dependencies|lock) | mix\.(exs|lock) | rebar\.(config|lock)
      | stack\.ya?ml(\.lock)?
      | [^/]+\.cabal | cabal\.project(\.freeze)? | pubspec\.(ya?ml|lock)
      | package\.(swift|resolved) | podfile(\.lock)?
      | cartfile(\.resolved)? | conanfile\.(txt|py) | vcpkg\.json | flake\.(nix|lock)
      | \.terraform\.lock\.hcl
      | project\.toml | manifest\.toml | description | renv\.lock | cpanfile(\.snapshot)?
      | \.gitmodules
      | module(\.bazel|\.bazel\.lock) | workspace(\.bazel)?
      | \.(python|node|ruby|java|terraform)-version | \.nvmrc
      | \.tool-versions | runtime\.txt
    )""",
    re.VERBOSE,
)
_MIGRATION = re.compile(
    r"""(.*/)?(
        (migrations?|migrate|db_migrations|schema_migrations|alembic|flyway|liquibase|db/changelogs?)/([^/]+/)*
            [^/]+\.(py|sql|rb|js|ts|php|go|exs|xml|ya?ml|java|kt|json|mako|toml|ini|cs|prisma)
      | alembic\.ini | versions/[0-9a-f]{8,}_[^/]+\.py | schema\.prisma
      | prisma/.+\.(sql|prisma|toml)
      | db/(schema\.rb|structure\.sql) | [vur]\d+([._]\d+)*__[^/]+\.(sql|java) | r__[^/]+\.sql
      | sqitch\.(plan|conf)
      | drizzle/.+\.(sql|json) | schema\.sql | [^/]+\.(up|down)\.sql
    )""",
    re.VERBOSE,
)
_TEST_FOLDER = re.compile(
    r"testing/.+|(.*/)?(tests?|__tests__|e2e|cypress|playwright|integrationtest"
    r"|androidtest|__mocks__|__snapshots__|testdata|unittests?|features/steps)/.+"
)
# A folder whose name only speaks of tests may hold what ships (`services/ab_test/`) or what runs
# (`deploy/specs/`): these count where nothing that asks for more care claims the file.
_TEST_LIKE_FOLDER = re.compile(
    r"(.*/)?(spec|(unit|integration|functional|acceptance|system|smoke|regression|contract|api|ui"
    r"|perf|performance|load)[._-]tests?|[^/]+-tests)/.+"
)
_SPECS_FOLDER = re.compile(r"(.*/)?specs/.+")
_TEST_FILE = re.compile(
    r"""(.*/)?(
        test_[^/]+\.pyw? | [^/]+_tests?\.py | tests\.py | conftest\.py
      | [^/]+[._-](test|spec|e2e|cy)\.[cm]?[jt]sx?
      | [^/]+_test\.(go|rs|dart|exs?|cc|cpp|c|jl|lua|clj|rb|zig|sh|bats)
      | [^/]+_spec\.(rb|lua|js|ts) | [^/]+\.feature | [^/]+\.bats
      | (jest|vitest|karma|cypress|playwright)\.config\.[cm]?[jt]s
      | \.coveragerc | pytest\.ini | [^/]+\.snap | test\.(sh|js|ts|rb|clj)
    )""",
    re.VERBOSE,
)
# Java-like test classes are told by their capitals.
_TEST_CLASS = re.compile(
    r"(.*/)?([A-Z]\w*(Tests?|IT|Spec|TestCase)|Test[A-Z]\w*)\.(java|kt|scala|groovy|cs|php|swift)"
)
_DOCS_FOLDER = re.compile(
    r"(docs?|documentation|man|website/docs|(packages|libs|services|apps|projects|crates|modules)/[^/]+/docs?)/.+"
)
_DOCS_IN_FOLDER = re.compile(
    r".*\.(md|markdown|rst|adoc|asciidoc|txt|png|jpe?g|gif|svg|webp|ico|pdf|drawio|puml|dot|bib|[1-8])"
)
# At the root these are for people; deeper, `templates/license_expired.txt` is what a program reads.
_DOCS_NAME_AT_ROOT = re.compile(
    r"(read[_-]?me|change(s|log)|authors|contributors|contributing|code[_-]of[_-]conduct|licen[sc]e|copying"
    r"|copyright|notice)([._-][a-z_-]+)?(\.(md|markdown|rst|adoc|asciidoc|txt))?"
    r"|(history|news|maintainers|thanks|credits|todo|acknowledge?ments)(\.txt)?|citation\.cff"
)
_DOCS_NAME_DEEPER = re.compile(
    r".*/((readme|changelog|contributing|authors|code[_-]of[_-]conduct|licen[sc]e)"
    r"\.(md|markdown|rst|adoc|asciidoc)|readme|licen[sc]e|copying)"
)
_GITHUB_PROSE = re.compile(
    r"\.(github|gitlab)/.+\.(md|markdown|rst|txt)|\.github/(issue_template/.+|funding\.yml)|(.*/)?codeowners"
)
_NEWS_FRAGMENT = re.compile(
    r"((.*/)?newsfragments|changelog\.d|changes\.d)/[^/]+\.(md|rst|txt)|news/\d[^/]*\.(md|rst|txt)"
)
_CONFIGURATION_NAME = re.compile(
    r"""(.*/)?(
        makefile | gnumakefile | justfile | cmakelists\.txt | taskfile\.ya?ml
      | \.env([._-][^/]*)? | [^/]+\.(env|envrc)
      | \.[a-z0-9_-]+rc(\.[a-z0-9]+)? | \.flake8 | [^/]+\.config\.[cm]?[jt]s
      | nginx[^/]*\.conf | supervisord\.conf | crontab | [^/]+\.(service|timer|socket)
    )""",
    re.VERBOSE,
)
_CONFIGURATION_LANGUAGES = frozenset(("yaml", "toml", "ini", "terraform", "nix", "cmake", "make"))
_CONFIGURATION_DATA = re.compile(
    r"(.*/)?(config|conf|settings|etc|\.config)/.+\.(jsonc?|json5|xml)|[^/]+\.(jsonc|json5)"
    r"|(.*/)?((app)?settings|config|tsconfig|jsconfig|\.?eslint|\.?babel|nest-cli|angular|vercel|turbo|nx)[^/]*\.json"
    r"|(.*/)?(web|app|logback|log4j2?|persistence|applicationcontext)[^/]*\.(xml|config)"
)

# Hostile paths of thousands of folders would keep the patterns busy; the end of a path tells what
# it is.
_LONGEST = 300


def language_of(path: str) -> str:
    """The language of a file by its name: a lower-case word, "other" when it is not known."""
    name = path.rpartition("/")[2].lower()
    if name in _LANGUAGES_BY_NAME:
        return _LANGUAGES_BY_NAME[name]
    if name.startswith(("dockerfile.", "containerfile.")):
        return "dockerfile"
    extension = name.rpartition(".")[2] if "." in name else ""
    return _LANGUAGES.get(extension, "other")


def classify_path(path: str) -> FileKind:
    """What a file is for, by its path alone.

    Kinds that ask for care win over kinds that ask for less: a migration below `tests/` is a
    test's, but a Dockerfile
    below `docs/` is a container file. Text inside a package is data that ships, hence OTHER and
    not DOCS.
    """
    if len(path) > _LONGEST:
        path = "…/" + path[-_LONGEST:]
    lower = path.lower()
    for kind, is_kind in _RULES:
        if is_kind(path, lower):
            return kind
    if language_of(path) in _CODE:
        return FileKind.SOURCE
    return FileKind.OTHER


def _is_docs(_: str, lower: str) -> bool:
    if language_of(lower) in _CODE:
        return False
    if _DOCS_FOLDER.fullmatch(lower):
        return _DOCS_IN_FOLDER.fullmatch(lower) is not None
    at_root = "/" not in lower and language_of(lower) in _PROSE
    names = (_DOCS_NAME_AT_ROOT, _DOCS_NAME_DEEPER, _GITHUB_PROSE)
    named = next(filter(None, (name.fullmatch(lower) for name in names)), None)
    return at_root or named is not None or _NEWS_FRAGMENT.fullmatch(lower) is not None


def _is_configuration(_: str, lower: str) -> bool:
    if _CONFIGURATION_NAME.fullmatch(lower) or _CONFIGURATION_DATA.fullmatch(lower):
        return True
    return language_of(lower) in _CONFIGURATION_LANGUAGES


def _is_test(path: str, lower: str) -> bool:
    if _TEST_FILE.fullmatch(lower) or _TEST_CLASS.fullmatch(path):
        return True
    if _SPECS_FOLDER.fullmatch(lower):
        return language_of(lower) in _CODE
    return _TEST_LIKE_FOLDER.fullmatch(lower) is not None


def _matches(pattern: re.Pattern[str]) -> Callable[[str, str], bool]:
    return lambda _, lower: pattern.fullmatch(lower) is not None


# In this order; the first that holds decides.
_RULES: tuple[tuple[FileKind, Callable[[str, str], bool]], ...] = (
    (FileKind.CI, _matches(_CI)),
    (FileKind.TEST, _matches(_TEST_FOLDER)),
    (FileKind.DEPENDENCY, _matches(_DEPENDENCY)),
    (FileKind.DOCS, _is_docs),
    (FileKind.MIGRATION, _matches(_MIGRATION)),
    (FileKind.CONTAINER, _matches(_CONTAINER)),
    (FileKind.TEST, _is_test),
    (FileKind.CONFIGURATION, _is_configuration),
)
