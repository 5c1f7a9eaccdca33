import time
from datetime import timedelta
from sqlalchemy import text
from app.alerts import queries
from app.alerts.queries import DeliveryFilter
from app.core.clock import now
from app.core.db import db, end_read
from tests.support import factories
def test_speed(app):
    for n in range(20): factories.integration("generic", name=f"s{n}")
    N=600_000
    pg = db.engine.dialect.name=="postgresql"
    gen = f"generate_series(1,{N}) g(n)" if pg else f"(with recursive g(n) as (select 1 union all select n+1 from g where n<{N}) select n from g) g"
    ts = f"now() - (({N}-g.n) * interval '0.1 second')" if pg else f"datetime('now', '-' || (({N}-g.n)/10) || ' seconds') || '.000000'"
    body = "decode(repeat('ab', 900),'hex')" if pg else "cast(hex(zeroblob(900)) as blob)"
    js = "'{}'::jsonb" if pg else "'{}'"
    st = "case when g.n % 100000 = 0 then 'dead' when g.n % 50 = 0 then 'duplicate' when g.n % 70=0 then 'refused' else 'accepted' end"
    with db.engine.connect().execution_options(write=True) as c, c.begin():
        c.execute(text(f"insert into deliveries (receipt, integration_id, source, received_at, path, headers, body, size, state, attempts, repeats, what, why, outcome) select 'r' || g.n, 1 + g.n % 20, 'generic', {ts}, '/in/generic', {js}, {body}, 900, {st}, 0, 0, 'Alert ' || g.n || ' firing', 'x', {js} from {gen}"))
    with db.engine.connect() as c: c.exec_driver_sql("analyze") if not pg else None
    if pg:
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c: c.execute(text("vacuum analyze deliveries"))
    def t(name, f):
        end_read(); f(); end_read(); s=time.perf_counter(); r=f(); print(f"{name:30} {1000*(time.perf_counter()-s):8.1f} ms", flush=True); return r
    at=now()
    t("integrations", lambda: queries.integrations(at=at))
    t("counts", lambda: queries.counts(at=at))
    t("dead_count", queries.dead_count)
    t("readings", lambda: queries.readings(at=at))
    t("list", lambda: queries.deliveries(DeliveryFilter()))
    t("list dead", lambda: queries.deliveries(DeliveryFilter("dead")))
    t("list retrying", lambda: queries.deliveries(DeliveryFilter("retrying")))
    t("list dup of 7", lambda: queries.deliveries(DeliveryFilter("duplicate", 7)))
    t("list of 7", lambda: queries.deliveries(DeliveryFilter("all", 7)))
    t("words none", lambda: queries.deliveries(DeliveryFilter(words="nothing")))
    t("words of 7", lambda: queries.deliveries(DeliveryFilter("all", 7, words="nothing")))
    t("source other", lambda: queries.deliveries(DeliveryFilter(source="alertmanager")))
    t("receipt", lambda: queries.deliveries(DeliveryFilter(words="0"*32)))
    t("latest_dead", lambda: queries.latest_dead(5))
