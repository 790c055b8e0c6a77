"""An example of Alertmanager's configuration: who hears of which severity, and when it is quiet."""

from __future__ import annotations

from typing import Any


def alertmanager_example() -> dict[str, Any]:
    """Give an example that `amtool check-config` takes; addresses are to be replaced."""
    return {
        "route": {
            "receiver": "billing-daytime",
            "group_by": ["alertname", "job", "repository"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [
                {
                    "matchers": ['owner="billing"', 'severity="critical"'],
                    "receiver": "billing-on-call",
                    "repeat_interval": "1h",
                }
            ],
        },
        # Where the books cannot be read, what is said of them is no news.
        "inhibit_rules": [
            {
                "source_matchers": ['alertname="BillingBooksUnreadable"'],
                "target_matchers": ['alertname="BillingWebhookBacklogNotDraining"'],
                "equal": ["job"],
            }
        ],
        "receivers": [
            {
                "name": "billing-on-call",
                "webhook_configs": [{"url": "https://pager.example.com/billing"}],
            },
            {
                "name": "billing-daytime",
                "webhook_configs": [{"url": "https://chat.example.com/billing"}],
            },
        ],
    }
