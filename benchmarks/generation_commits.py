"""Commits of public pure-Python libraries for `generation.py`: the newest six of each that change one
to four functions.

Every second commit belongs to the half that the search is tuned on, the others to the half that it
is judged by.
"""

from __future__ import annotations

COMMITS: dict[str, tuple[str, ...]] = {
    "pallets/click": (
        "a1d87858abd77fa8e3ffc204670ccd75b96c4781",
        "a6256bfb5971d5e58585fe7b6c656134e1ade5a4",
        "1f9cd54f686eb343cec714230ad825ce972739ab",
        "f316d5cb3aa89b57c14aee54da6ac9062ac5bec4",
        "a2ac5839f29f61cf7f3f229c67b97d07988e479b",
        "047adef258fc25566163ffc3efd14effc0ef7352",
    ),
    "pallets/flask": (
        "a29f88ce6f2f9843bd6fcbbfce1390a2071965d6",
        "7b0088693ece1bd3a9238a6fdf56ed8df7a4d43b",
        "a411a2434b09d9cbaa4074232b2c247d591bb655",
        "e82db2ca3a22c9614c1987392c9cfaa8c6ce99ad",
        "c77a5203438fe772d41f6a47303ad3f57a4efe6d",
        "3709c4a9a87e6ce8c26dc4a951e1df52ac9ecad0",
    ),
    "pallets/werkzeug": (
        "a852be7a4c3d3c5b21bcab6ce6163935b6fafeb6",
        "ff1b12a6629b37f5d8372b9e53f02de9d1322e19",
        "9ffdc2d38581119fa82829bdbde4b75e2519866f",
        "8e9105fbafd3b3695e7b2f1fcbd09adcd97bd351",
        "cc89c44f3819295b8f34b47b3e111ef2475cc441",
        "f88164a271dd3e86a3241389ddc5c53eca4b9e4a",
    ),
    "pytest-dev/pluggy": (
        "e7454bace8e3d4ea81e6841ff18e6572aedaa9f6",
        "55893b6e262e27021e26b6e9c7d29b3650034b89",
        "85db9956e0fc5693d8c40847901f0022ca279852",
        "c7d1880c0a37358e3c60c514226ef0b27f7e47b0",
        "54127a334d52a49d02c77b001ee998d36f7d6037",
        "1a2a8f4eb1df1be118a41caa2fb34b2b4cbe3286",
    ),
    "python-humanize/humanize": (
        "823ad6096e1e5ba82ea876ce761fc2efebd76157",
        "7574e0cc377d80db0d2756fc2c5e0b8799a6f8b4",
        "c2c410c1521a3b1eb3efef52f3b06c2e42f7b92b",
        "976484a655df046aa6849f440a4f0cd44fc4918c",
        "0a06a3d4a12113cd5f3d0df0cfbb3e27d92499eb",
        "e7c04f429ddf48ac434037d07eb2ca3c7435ea88",
    ),
    "psf/requests": (
        "6f66281a1d6326b1b9c4ac09ca30de0fc4e6ef43",
        "6f205ff422bccd5e4c4fc0b64c5f3e7df5181db6",
        "e50e5945294f79ee9ab4ec69de24d14f9b26a7ae",
        "cd90742ed94d901759e26766197d0ce7c7bd9c8e",
        "e511bc72777a94c45d004e010c597925092e1efe",
        "2144213c307691710c9d665700860fc4993c3035",
    ),
    "mahmoud/boltons": (
        "967864f89791509f9eb36b22b4579d36b72a6df2",
        "5df26592c29b9561d122640868ba0522cbc1e20d",
        "673e010d0afabc2f530e8d1f67f0a47c37afa7f4",
        "580a9c2d12755d472e534ca3e277e8f7e3ada49e",
        "ec1ff9f6728f5f857402b294c218be731c62af5f",
        "b5c495bec206741ec25cd82ecc869e0b59bb0d10",
    ),
    "mahmoud/glom": (
        "24c21dcc44cc81abc193aa3bfa2f66304470d205",
        "cbd7e8de4d22f5189d70b9e6e56e1feb2ea7d9e4",
        "1336a7c6ba8071dccc3b334ffd5d0affee9e668e",
        "9082ab6f98b018856fc9d37aec4077d27662f025",
        "573cb911aee0af7149ea8376a05f61b3435b23e7",
        "d285e7399c4586486cfd1adb203163b5d5bb65e7",
    ),
    "more-itertools/more-itertools": (
        "237388cc3220bdc7cfacc6f766304a49b42fb8e7",
        "794fe558a666309856d066d0d2ec2e072370bc36",
        "63243787b0a49482ba4a17f83a0aa4d6f2fb5741",
        "0e6acdf9b60765ecf9634d6f5c132ac1bebc616b",
        "f312dce1a2c668475265dc6ddb5f62187d55960c",
        "eedb79a899504a9938dd3ab347fc6d915d3428c6",
    ),
    "pallets/itsdangerous": (
        "c294b2fb47447d83be02470525c9c6292ce5fd74",
        "2b4057a393a3a3ac30ffec644f3985bfbd4ef155",
        "11e882bb4a74d571bed0e3f6b4e004eeb2daa970",
        "7f4dcf83a07bb3d53f4e0e65ef1b43327b4cca90",
        "672f44bcff4a7499665dc9b5de9b14dcd3b0fcb9",
        "9a25d989cd65c4991c2c8ac46ef55e0e8dfe49ab",
    ),
    "marshmallow-code/marshmallow": (
        "0a7d543124121bfdf8be12954992b34fb44be767",
        "4976d834ceb72402dafa41137d2d037b2a1ed123",
        "eeba835871721317f4340eed04e87818dee8bf15",
        "c8ce7e87027fdd4d5565c85f82b2008726edc4a1",
        "99103a675fa469c05ea93c4cbc91d47fd5556eee",
        "58fbbcd3446ade39ea3be83ce9ee9170acf0230b",
    ),
    "tkem/cachetools": (
        "51921a4812b3304be9625ed004f024935a8036af",
        "98ec79ff8be24ce1346d6a96602f11ccbda4f76f",
        "57d2e4813d9801f97034559e22428bac6f7c6c9b",
        "73d16025693ee2e615c87fa249fe0324269d395f",
        "c9c942fa76c79ef8a54a34f76a0e7155f9d8b1dc",
        "330f14787234029e135d07df8635c57ae93c6ded",
    ),
    "python-jsonschema/jsonschema": (
        "23fd67905b038825841b434f6d1eb0427cc4598f",
        "4f7d9e7047da96705b20dca31692cb4fafa7129c",
        "a4d2dc7581db1cdbaae9651a9fe22722a7db4c91",
        "2271cec697c7edbc032ad1f6ec103c3bf72d12da",
        "4f8361faf0a53b0496dcc39feb89b5b9c4705fa8",
        "fc9fe6db752bfa3db6738ba80cd0e17fd71a34d3",
    ),
}


def chosen(half: str) -> list[tuple[str, str]]:
    """Repository and sha of one half (`tuning` or `test`), or of both (`all`)."""
    found = []
    for repository, shas in COMMITS.items():
        for number, sha in enumerate(shas):
            if half in {"all", "tuning" if number % 2 == 0 else "test"}:
                found.append((repository, sha))
    return found
