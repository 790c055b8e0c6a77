"""Routes that only look."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from simulators.billing.http import models
from simulators.billing.http.auth import core_of, owned_customer
from simulators.billing.http.documented import refusals
from simulators.billing.http.once import respond
from simulators.billing.operations import reports
from simulators.billing.paging import NEWEST_FIRST, PageQuery

router = APIRouter(prefix="/api/v1/customers/{customer_id}", tags=["reports"])
CustomerId = Annotated[str, Depends(owned_customer)]
_PAGED = refusals({422: ("invalid_query",)})


async def _query(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    sort: Annotated[str, Query(max_length=40)] = NEWEST_FIRST,
    filter: Annotated[str | None, Query(max_length=200)] = None,  # noqa: A002  # the API's own name
) -> PageQuery:
    return PageQuery(limit, cursor, sort, filter)


Paged = Annotated[PageQuery, Depends(_query)]


@router.get("/usage", response_model=models.UsageView, responses=refusals())
def usage(request: Request, customer_id: CustomerId) -> Response:
    """See credits, plan, use of the period, and the price of the next fix."""
    return respond(reports.usage(core_of(request), customer_id, request.state.allowance))


@router.get("/transactions", response_model=models.TransactionPage, responses=_PAGED)
def transactions(request: Request, customer_id: CustomerId, query: Paged) -> Response:
    """Page through the ledger."""
    return respond(reports.transactions(core_of(request), customer_id, query))


@router.get("/payments", response_model=models.PaymentPage, responses=_PAGED)
def payments(request: Request, customer_id: CustomerId, query: Paged) -> Response:
    """Page through the money that moved."""
    return respond(reports.payments(core_of(request), customer_id, query))


@router.get("/fix-attempts", response_model=models.AttemptPage, responses=_PAGED)
def fix_attempts(request: Request, customer_id: CustomerId, query: Paged) -> Response:
    """Page through the fixes asked for, also the refused ones."""
    return respond(reports.attempts(core_of(request), customer_id, query))


@router.get("/invoices", response_model=models.InvoicePage, responses=_PAGED)
def invoices(request: Request, customer_id: CustomerId, query: Paged) -> Response:
    """Page through the invoices."""
    return respond(reports.invoices(core_of(request), customer_id, query))
