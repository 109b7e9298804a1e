"""What becomes of an alert: which episode it is part of, whether it pages, who is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from detector.alerts.alert import Alert, AlertState, Suppressed, alert_id, utc
from detector.alerts.routing import Routed
from detector.alerts.silence import Silence, Subject, suppressed_by
from detector.counting.context import Context, Told
from detector.rules.correlation import Correlation
from detector.rules.rule import Rule
from detector.rules.values import epoch_seconds
from detector.rules.window import WindowSettings
from detector.state.store import Revision, Timer
from detector.windows.aligned import Verdict, WindowKey
from detector.windows.episodes import Change, Episode, Series, set_breaching

AnyRule = Rule | Correlation

_ONE_OF_ONE = WindowSettings()


class SeriesState(Series):
    """What is kept of all windows of a rule and group; `raised_at` is when the last one alerted."""

    raised_at: float = 0.0


class Alerting:
    """Keeps what is known of each rule's and group's windows, and tells sinks what is new."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._series: dict[bytes, SeriesState] = {}
        self._changed: dict[bytes, WindowKey] = {}

    def tells(self, rule: AnyRule, accounts: Iterable[str]) -> bool:
        """Return whether an alert of a rule on accounts is sent to anybody, but for silences."""
        return bool(self._sinks(rule, accounts))

    def turn(
        self,
        rule: AnyRule,
        key: WindowKey,
        *,
        breaching: bool,
        settings: WindowSettings = _ONE_OF_ONE,
    ) -> Change:
        """Note that a window has come to be over the threshold, or is so no more.

        Returned is what alerts since, and what does no more: by `settings`, in which a window may
        need others to alert.
        """
        series = self._load(rule, key)
        known_as = _known_as(series, breaching=breaching)
        quiet = self._context.settings.quiet
        change = set_breaching(series, key.start, breaching, settings, quiet)
        for episode in change.absorbed:
            if episode.told is not None:
                self._tell_end(key, series.period, [episode.told])
        for episode in change.unheard:
            self._page_for(rule, key, series, episode)
        self._renamed(key, series, known_as)
        self._change(key)
        return change

    def _renamed(
        self, key: WindowKey, series: SeriesState, known_as: Mapping[int, int | None]
    ) -> None:
        """Make another revision of alerts that go by another name now: no copy is like it."""
        if not known_as:
            return
        now_as = {start: item.told for item in series.episodes for start in item.windows}
        for start, told in known_as.items():
            if told is not None and start in now_as and now_as[start] != told:
                window = key.window(start, series.period)
                self._context.transaction.revise_alert(Revision(alert_id(window)), (), 0.0)

    def raised(self, rule: AnyRule, key: WindowKey, alert: Alert) -> bool:
        """Keep a new alert and tell sinks; return whether they are."""
        series = self._load(rule, key)
        if series.episode_of(key.start) is None:
            # What was known of the windows is gone: the rule had another period meanwhile.
            self.turn(rule, key, breaching=True)
        episode = series.episode_of(key.start)
        assert episode is not None  # noqa: S101 - a window that alerts is part of one
        alert, sinks = self.silenced(rule, alert)
        pages = rule.file.notify != "episode" or episode.told is None or episode.is_over
        if sinks and episode.told is None:
            episode.told = key.start
        # What nobody is told of goes on in silence: to those who know of it the episode is over.
        episode.is_closed = episode.is_over and not sinks
        told = alert.id if episode.told is None else alert_id(key.window(episode.told, key.period))
        self._context.transaction.save_alert(
            alert, sinks, self._context.settings.update_interval, pages=pages, incident=told
        )
        self._open(key, series, episode)
        self._note(Verdict.SUPPRESSED if alert.suppressed else Verdict.RAISED, rule, alert.id)
        return bool(sinks)

    def _page_for(
        self, rule: AnyRule, key: WindowKey, series: SeriesState, episode: Episode
    ) -> None:
        """Page for an episode of which only updates were sent, of what was withdrawn since."""
        for start in episode.windows:
            alert = self._context.transaction.alert(alert_id(key.window(start, key.period)))
            if alert is None or alert.suppressed is not None:
                continue
            _, sinks = self.silenced(rule, alert)
            if sinks:
                self._context.transaction.revise_alert(
                    Revision(alert.id, "open", pages=True, incident=alert.id),
                    sinks,
                    self._context.settings.update_interval,
                )
                episode.told = start
                self._open(key, series, episode)
                self._note(Verdict.RAISED, rule, alert.id)
                return

    def _open(self, key: WindowKey, series: SeriesState, episode: Episode) -> None:
        """Note that an episode goes on, to be looked at when it can have been quiet."""
        episode.is_resolved = False
        series.raised_at = self._context.now
        self._context.transaction.set_timer(
            Timer(key.series, None, self._context.now + self._context.settings.quiet)
        )
        self._change(key)

    def alarmed(self, rule: Rule, alert: Alert, *, pages: bool, is_whole: bool) -> bool:
        """Keep the alert of a sliding window, which no episode holds; return whether it is sent.

        If it is not whole, as not all of its events are known, no silence can be said to hold it.
        """
        alert, sinks = (
            self.silenced(rule, alert) if is_whole else (alert, self._sinks(rule, alert.accounts))
        )
        pages = pages or rule.file.notify == "event"
        self._context.transaction.save_alert(
            alert, sinks, self._context.settings.update_interval, pages=pages, incident=alert.id
        )
        verdict = Verdict.RAISED if pages else Verdict.UPDATED
        self._note(Verdict.SUPPRESSED if alert.suppressed else verdict, rule, alert.id)
        return bool(sinks)

    def alarm_ended(self, rule: AnyRule | None, identity: str) -> None:
        """Tell those who know of it that the alarm of a sliding window is one no more."""
        self._context.transaction.revise_alert(
            Revision(identity, "resolved"),
            self._context.settings.routing.names,
            self._context.settings.update_interval,
        )
        if rule is not None:
            self._note(Verdict.RESOLVED, rule, identity)

    def updated(
        self,
        rule: AnyRule,
        key: WindowKey,
        alert: Alert | None,
        count: int,
        accounts: Sequence[str],
    ) -> None:
        """Tell sinks that a window which they know of has more events.

        With `alert` it is kept as it is now; without, readers find out from the window's state.
        What is over stays so, unless each event pages. A sink that gets alerts of one of the
        `accounts`, and does not know of it, is paged.
        """
        interval = self._context.settings.update_interval
        sinks = self._sinks(rule, accounts)
        pages = rule.file.notify == "event"
        identity = alert_id(key)
        episode = None
        incident = None
        if pages or alert is not None or self._context.settings.routing.asks_accounts:
            series = self._load(rule, key)
            episode = series.episode_of(key.start)
            if episode is not None and episode.told is not None:
                incident = alert_id(key.window(episode.told, key.period))
            if pages and episode is not None:
                episode.is_closed = False
                self._open(key, series, episode)
        if alert is None:
            revision = Revision(identity, "open" if pages else None, count, pages, incident)
            self._context.transaction.revise_alert(revision, sinks, interval)
        else:
            is_over = episode is not None and episode.is_resolved
            state: AlertState = "resolved" if is_over and not pages else "open"
            alert = msgspec.structs.replace(alert, state=state)
            self._context.transaction.save_alert(
                alert, sinks, interval, pages=pages, incident=incident
            )
        self._note(Verdict.UPDATED, rule, identity)

    def suppressed(self, rule: AnyRule, alert: Alert) -> bool:
        """Return whether an alert is still kept from being sent; keep it as it is now if so."""
        alert, _ = self.silenced(rule, alert)
        if alert.suppressed is None:
            return False
        self._context.transaction.save_alert(alert, (), 0.0, pages=False)
        self._note(Verdict.SUPPRESSED, rule, alert.id)
        return True

    def withdrawn(self, rule: AnyRule, key: WindowKey) -> None:
        """Tell those who know of it that what an alert said is true no more."""
        revision = Revision(alert_id(key), "withdrawn")
        self._context.transaction.revise_alert(
            revision, self._context.settings.routing.names, self._context.settings.update_interval
        )
        self._note(Verdict.WITHDRAWN, rule, revision.alert_id)

    def look(self, rule: AnyRule | None, key: WindowKey) -> None:
        """Resolve the episodes of a rule and group that have been quiet for long enough.

        An incident stays open for the quiet time of the clock, so that nobody misses it because its
        events came late; then it is over if event time is as far, or if nothing has come in since.
        """
        series = self._known(key)
        if series is None:
            self._context.transaction.set_timer(Timer(key, None, None))
            return
        self._series[key.identity] = series
        waits = []
        for episode in series.episodes:
            if episode.is_resolved:
                continue
            wait = self._wait(key, series, episode)
            if wait is not None:
                waits.append(wait)
                continue
            self._end(rule, key, episode)
            episode.is_resolved = True
        event_times = [wait.event_at for wait in waits if wait.event_at is not None]
        times = [wait.wall_at for wait in waits if wait.wall_at is not None]
        self._context.transaction.set_timer(
            Timer(key, min(event_times, default=None), min(times, default=None))
        )
        self._change(key)

    def _wait(self, key: WindowKey, series: SeriesState, episode: Episode) -> Timer | None:
        """Return when to look at an open episode again; None if it has been quiet long enough."""
        context, settings = self._context, self._context.settings
        seen = series.raised_at + settings.quiet
        if context.now < seen:
            return Timer(key, None, seen)
        over = episode.end(series.period) + settings.quiet
        silent = max(context.heard_at, series.raised_at) + settings.quiet + settings.late_after
        if over <= context.clock.watermark or silent <= context.now:
            return None
        return Timer(key, over, silent)

    def _known(self, key: WindowKey) -> SeriesState | None:
        """Return what is known of the windows of a rule and group."""
        return self._series.get(key.series.identity) or self._context.transaction.load(
            key.series, SeriesState
        )

    def _end(self, rule: AnyRule | None, key: WindowKey, episode: Episode) -> None:
        """Note that an episode is over, and tell those who know of it: once, or of each alert."""
        period = self._series[key.series.identity].period
        each = self._is_each_told(rule, key, episode.windows[-1], period)
        told: Sequence[int] = ()
        if episode.told is not None and not episode.is_closed:
            told = episode.windows if each else [episode.told]
        self._tell_end(key, period, told)
        for start in sorted({*episode.windows} - {*told}):
            # Who came to know of the incident by another window's alert knows it as that one.
            self._revise(key, start, period, only_opened=True)
        if rule is not None:
            self._note(Verdict.RESOLVED, rule, alert_id(key.window(episode.first, period)))

    def _is_each_told(self, rule: AnyRule | None, key: WindowKey, start: int, period: int) -> bool:
        if rule is not None:
            return rule.file.notify != "episode"
        alert = self._context.transaction.alert(alert_id(key.window(start, period)))
        return alert is not None and alert.notify != "episode"

    def _tell_end(self, key: WindowKey, period: int, starts: Sequence[int]) -> None:
        for start in starts:
            self._revise(key, start, period)

    def _revise(
        self, key: WindowKey, start: int, period: int, *, only_opened: bool = False
    ) -> None:
        self._context.transaction.revise_alert(
            Revision(alert_id(key.window(start, period)), "resolved", only_opened=only_opened),
            self._context.settings.routing.names,
            self._context.settings.update_interval,
        )

    def _load(self, rule: AnyRule, key: WindowKey) -> SeriesState:
        series = self._known(key)
        if series is not None and series.period != key.period:
            # The rule has another period since: its windows are others.
            self._series[key.series.identity] = series
            for episode in series.episodes:
                if not episode.is_resolved:
                    self._end(rule, key, episode)
            series = None
        self._series[key.series.identity] = series = series or SeriesState(key.period)
        return series

    def finish(self) -> None:
        """Keep what has changed of the series."""
        for key in self._changed.values():
            series = self._series[key.identity]
            if series.episodes or series.breaching:
                self._context.transaction.save(key, series)
            else:
                self._context.transaction.drop(key)
        self._changed.clear()

    def _change(self, key: WindowKey) -> None:
        self._changed[key.series.identity] = key.series

    def _sinks(self, rule: AnyRule, accounts: Iterable[str]) -> Sequence[str]:
        return self._context.settings.routing.sinks(Routed.of_rule(rule, accounts))

    def silenced(self, rule: AnyRule, alert: Alert) -> tuple[Alert, Sequence[str]]:
        """Return an alert with the silence that suppresses it, and who is told of it."""
        silence = self._silence(rule, alert)
        if silence is None:
            return alert, self._sinks(rule, alert.accounts)
        suppressed = Suppressed(
            reason=silence.reason, author=silence.author, end=utc(silence.end.timestamp())
        )
        return msgspec.structs.replace(alert, suppressed=suppressed), ()

    def _silence(self, rule: AnyRule, alert: Alert) -> Silence | None:
        if not self._context.silences:
            return None
        unlisted = [""] if "accounts" in alert.truncated else []
        subject = Subject(
            rule_id=rule.id,
            rule_name=rule.file.name,
            title=rule.file.title,
            level=rule.file.level,
            group=alert.group,
            accounts=[*alert.accounts, *unlisted],
            first_event_time=epoch_seconds(alert.first_event_time) or 0.0,
            last_event_time=epoch_seconds(alert.last_event_time) or 0.0,
        )
        return suppressed_by(subject, self._context.silences)

    def _note(self, verdict: Verdict, rule: AnyRule, identity: str) -> None:
        self._context.told.append(Told(verdict, rule.id, rule.file.level, identity))


def _known_as(series: Series, *, breaching: bool) -> dict[int, int | None]:
    """Return by which window receivers know the episode of each, where that may change."""
    if breaching and len(series.episodes) < 2:  # noqa: PLR2004 - nothing to become a part of
        return {}
    return {start: episode.told for episode in series.episodes for start in episode.windows}
