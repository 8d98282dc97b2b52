"""Webhooks: what is to be sent, and what became of it."""

from __future__ import annotations

import msgspec

from ..answers import ClaimedDelivery
from .caller import Caller, decode

_claimed_deliveries = msgspec.msgpack.Decoder(tuple[list[ClaimedDelivery], int]).decode


class DeliveryScripts(Caller):
    async def plan_deliveries(
        self,
        partition: int,
        *,
        group: str,
        start: str,
        end: str,
        deliveries: list[tuple[str, str, str]],
        kept: int,
    ) -> bool:
        """Plan (id, webhook, message) and move the group from `start` to `end`; False: elsewhere.

        Of each webhook the newest `kept` stay listed.
        """
        call = {"group": group, "from": start, "to": end, "deliveries": deliveries, "kept": kept}
        return bool(decode(await self._run("plan_deliveries", partition, **call)))

    async def claim_deliveries(
        self,
        partition: int,
        *,
        token: str,
        want: int,
        each: int,
        busy: dict[str, int] | None = None,
        lease_ms: int,
    ) -> tuple[list[ClaimedDelivery], int]:
        """What is due, and the ms until more is; -1 when nothing is planned.

        One webhook gets at most `each` less what it has under way already (`busy`).
        """
        call = {
            "token": token,
            "want": want,
            "each": each,
            "busy": busy or {},
            "lease_ms": lease_ms,
        }
        return _claimed_deliveries(await self._run("claim_deliveries", partition, **call))

    async def settle_delivery(
        self,
        partition: int,
        *,
        delivery: str,
        token: str,
        attempt: str,
        state: str,
        delay_ms: int,
        keep_ms: int,
    ) -> bool:
        """Note an attempt (JSON) and what follows; False when somebody else has claimed it."""
        call = {
            "id": delivery,
            "token": token,
            "attempt": attempt,
            "state": state,
            "delay_ms": delay_ms,
            "keep_ms": keep_ms,
        }
        return bool(decode(await self._run("settle_delivery", partition, **call)))

    async def redeliver(self, partition: int, *, delivery: str, webhook: str) -> bool:
        """Send it once more; False when there is none of that webhook."""
        call = {"id": delivery, "webhook": webhook}
        return bool(decode(await self._run("redeliver", partition, **call)))
