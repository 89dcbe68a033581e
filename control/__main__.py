"""`loactl`: the command line of those who order and watch. Exit codes: 0 done, 1 failed, 2 bad input, 3 refused."""

from typing import Any

import typer
from typer.core import TyperGroup

from control import (
    cli_ca,
    cli_keys,
    cli_orders,
    cli_programme,
    cli_say,
    cli_schedule,
    cli_time,
    cli_trust,
    cli_trust_send,
    cli_trust_sign,
    cli_watch,
)
from control.problems import Problem
from control.sending import complain


class Commands(TyperGroup):
    """All commands; what goes wrong in one becomes one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            typer.Exit: with the exit code of a `Problem`.
        """
        try:
            return super().invoke(ctx)
        except Problem as problem:
            complain(str(problem))
            raise typer.Exit(problem.exit_code) from None


app = typer.Typer(
    cls=Commands,
    name="loactl",
    help="Keys, orders and the watch over the loudspeakers of a commune.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(cli_keys.keygen)
app.command(cls=cli_orders.OrderedCommand)(cli_orders.play)
app.command()(cli_say.say)
app.command()(cli_orders.stop)
app.command()(cli_programme.order)
app.command()(cli_programme.prefetch)
app.command()(cli_time.time)
app.command()(cli_orders.volume)
app.command()(cli_orders.mute)
app.command("report-now")(cli_orders.report_now)
app.command("self-test")(cli_orders.self_test)
app.command()(cli_orders.restart)
app.command()(cli_watch.watch)
app.command()(cli_keys.verify)

schedule = typer.Typer(
    name="schedule",
    help="The week of an authority. / Lịch phát hằng tuần.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
schedule.command()(cli_schedule.check)
schedule.command()(cli_schedule.send)
app.add_typer(schedule)

policy = typer.Typer(
    name="policy",
    help="Quiet hours, caps and ceilings of an authority. / Quy chế: giờ nghỉ, số buổi, âm lượng.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
policy.command("send")(cli_schedule.send_policy)
app.add_typer(policy)

trust = typer.Typer(
    name="trust",
    help="Whose orders the loudspeakers obey. / Loa tuân lệnh của ai.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
trust.command()(cli_trust.new)
trust.command()(cli_trust.show)
trust.command()(cli_trust.add)
trust.command()(cli_trust.retire)
trust.command()(cli_trust.revoke)
trust.command()(cli_trust_sign.sign)
trust.command()(cli_trust_sign.merge)
trust.command()(cli_trust_send.send)
app.add_typer(trust)

ca = typer.Typer(
    name="ca",
    help="Certificates for the broker and those who connect to it. / Chứng thư của máy chủ và của cụm loa.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
ca.command()(cli_ca.new)
ca.command()(cli_ca.server)
ca.command()(cli_ca.node)
ca.command()(cli_ca.client)
ca.command()(cli_ca.revoke)
ca.command()(cli_ca.show)
app.add_typer(ca)


def main() -> None:
    """Entry point of `loactl` and of `python -m control`."""
    app()


if __name__ == "__main__":
    main()
