"""Secrets that anyone can look up: the 32-byte values of the published test vectors.

Whoever copies a key out of an example has no secret at all. Only SHA-256 digests are
kept here, so that no value can be copied out of this file.
"""

from __future__ import annotations

import hashlib
from typing import Final

_DIGESTS: Final = frozenset(
    {
        "72dbb7336c76780023f83da4c355f2eeea85733b13d3477697917790c1229084",
        "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd",
        "97dd21905b079b510138f7cb98bd9ae43c8b996e0ed05f31856da9ed709c8b12",
        "321eebfe8c16493819d753e6355bb20a66b59e555b9cf7d2127feb38ed720061",
        "9206cb00d262c6a19f4663c0842c0c3c1b3086bd68ca6e841a446b0e9a3bc282",
        "b786d8e0153e7ead84b9f159c0ad5bdcde98edf2e0199249c4b6edc9df260062",
        "12c8e0436761aae14801eb15808770c16c3d46b4dfdd8a5d2e5bab011fca0f33",
        "82d86408530b765e46ebf47807095027e807bc08674b0de77ee5ef2fae7d0492",
        "4d8d274ff7e176af977a95a0055c8c5f3478d38640343a060cee893e56f39957",
        "928d73d2f5ae8d62ed8c24e489e8c6c73612dd945ba30070521de346aefa5dc5",
        "ca2a4fe727faaecf16ecd130a86e0885c5540c05375340445071c0657555fd42",
        "2ca167d5cc07a7e268f43da08ade6bb945def6553bb995106fcc8954321d6a76",
        "c5a5eac2f32cb83a2d8cf50ff3e996d90370f98bcf5558638886bcada7620c60",
        "d21fd4968ec4f4d0270cf9faa3d75c93444db27dc4c8d324221eee036a8df034",
        "ec071e0a0136c837c051cee6a7713edbaea6936712d1a3ca37e84fee3226e61d",
        "9432c1a7d343fcfacb164bdc44ff71c1281c004886b1c428419088d06cd3561a",
        "cfb60d004265cadce471facdeec59a16fd9de2ba4acbf56af27420f30f88823f",
        "c37628fea3f5b6204ffa69764e6f5bd9cb5ed175824ed2682c2e3d3a03b27ba3",
        "1cbc39e049b243e77745f8bb151f9d6ac3e2157eb0827da08e5c7f45640a1ff4",
        "6b10564a31d8987cbe7b55da7032730055df7f62710d6a43fd4eadf52576e913",
        "4200f8e2470a8eb0be52dfc7347503597da35510d780924e40ee91aaaad7331e",
        "5500d69bd03a29bbf43afbf2d6b5ec8ba39cff3d8d86b2503d2e6ba15df799b7",
        "2781ab3c44481ed3f1d25b961b479881dea285c5ac2e5b18118ec41cff822f3c",
        "866beea5547220cac51b6cdded8aace165af2e2b74efc30843f50ccc6e2a702f",
    }
)


def is_published(secret: bytes) -> bool:
    """Tell whether *secret* is a value of the published test vectors."""
    return hashlib.sha256(secret).hexdigest() in _DIGESTS
