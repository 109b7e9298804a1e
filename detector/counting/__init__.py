"""What matched events do to windows, correlations and alerts, within one transaction.

observing.py    an event, as counting sees it
batch.py        the matches of one transaction, handed to what counts them; timers
aligned.py      windows of event time
sliding.py      CloudWatch's alarms, by arrival
correlations.py correlations, by event time
singles.py      events that are older than the windows retained
alerting.py     what becomes of an alert: episodes, pages, silences, the outbox
retention.py    the watermark, and what goes when it is past its retention
"""
