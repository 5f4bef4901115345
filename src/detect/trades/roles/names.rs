//! What columns are called: whole names first, then words of names.

use super::Role;

/// Names and words by which a role is known.
pub(super) struct Known {
    pub(super) role: Role,
    /// Whole names, best first, without case and punctuation; `*` at the end stands for a currency code.
    pub(super) names: &'static [&'static str],
    /// Words of which one must be in the name.
    pub(super) words: &'static [&'static str],
    /// Words that speak against it.
    pub(super) not: &'static [&'static str],
}

pub(super) const fn known(
    role: Role,
    names: &'static [&'static str],
    words: &'static [&'static str],
    not: &'static [&'static str],
) -> Known {
    Known { role, names, words, not }
}

const IDS: [&str; 6] = ["id", "uuid", "ref", "hash", "code", "no"];
const LIMITS: &[&str] = &["stop", "limit", "take", "target", "trigger", "min", "max", "model", "pricing", "profit"];

/// The trade table, in the order in which roles choose their columns.
pub(super) const TRADE: &[Known] = &[
    known(Role::Id, &["id", "tradeid", "uuid", "executionid", "fillid", "transactionid", "dealid"], &[], &[]),
    known(
        Role::Counterparty,
        &[
            "counterpartyid",
            "counterparty",
            "counterpartyaccountid",
            "selleruserid",
            "selleraccountid",
            "sellerid",
            "makerid",
            "makeraccountid",
            "makeruserid",
            "matchedwith",
        ],
        &["counterparty", "contra", "seller", "maker"],
        &["order", "fee", "fees", "commission", "price", "side", "is"],
    ),
    known(
        Role::Key,
        &["apikeyid", "keyid", "apikey", "accesskeyid", "credentialid", "apitokenid", "apicredentialid", "tokenid"],
        &["apikey", "accesskey", "credential"],
        &["idempotency"],
    ),
    known(
        Role::Order,
        &[
            "orderid",
            "order",
            "orderuuid",
            "parentorderid",
            "buyerorderid",
            "buyorderid",
            "takerorderid",
            "brokerorderid",
            "exchangeorderid",
            "clientorderid",
            "orderref",
        ],
        &["order"],
        &["type", "seller", "sell", "maker", "price", "at", "date", "time", "status", "side"],
    ),
    known(Role::CounterOrder, &["sellerorderid", "sellorderid", "makerorderid", "counterorderid"], &[], &[]),
    known(
        Role::Account,
        &[
            "accountid",
            "account",
            "tradingaccountid",
            "buyeraccountid",
            "takeraccountid",
            "accountno",
            "accountnumber",
            "userid",
            "user",
            "buyeruserid",
            "buyerid",
            "takerid",
            "takeruserid",
            "traderid",
            "clientid",
            "customerid",
            "memberid",
            "investorid",
            "portfolioid",
            "portfolio",
            "modelid",
            "walletid",
            "ownerid",
            "botid",
            "strategyid",
            "profileid",
            "subaccountid",
        ],
        &["account", "acct", "trader", "client", "customer", "member", "investor", "user", "buyer", "wallet", "owner"],
        &["order", "agent", "fee", "fees", "balance", "ip", "is", "type", "by", "address"],
    ),
    known(
        Role::Instrument,
        &[
            "symbol",
            "instrument",
            "instrumentid",
            "ticker",
            "pair",
            "tradingpair",
            "market",
            "marketid",
            "asset",
            "assetid",
            "coin",
            "isin",
            "product",
            "productid",
            "security",
            "securityid",
            "contract",
            "currencypair",
        ],
        &["symbol", "instrument", "ticker", "pair", "isin", "cusip", "security", "asset", "market", "product", "coin"],
        &["type", "price", "fee", "quantity", "amount", "cap", "value", "order", "maker"],
    ),
    known(
        Role::Side,
        &[
            "side",
            "direction",
            "action",
            "tradeside",
            "tradetype",
            "buysell",
            "ordertype",
            "transactiontype",
            "type",
            "isbuy",
            "isbuyer",
            "buysellindicator",
        ],
        &["side", "direction"],
        &[],
    ),
    known(
        Role::Fee,
        &[
            "fee",
            "fees",
            "buyerfee",
            "takerfee",
            "commission",
            "feeamount",
            "feepaid",
            "totalfees",
            "brokerage",
            "fee*",
            "fees*",
        ],
        &["fee", "fees", "commission", "brokerage"],
        &["seller", "maker", "rate", "currency", "asset", "pct", "percent", "type", "id"],
    ),
    known(
        Role::Value,
        &[
            "value",
            "totalvalue",
            "total",
            "totalprice",
            "notional",
            "notionalvalue",
            "cost",
            "grossamount",
            "totalamount",
            "quoteamount",
            "quotequantity",
            "quoteqty",
            "tradevalue",
            "turnover",
            "consideration",
            "netamount",
            "total*",
            "value*",
            "notional*",
        ],
        &["notional", "consideration", "turnover", "proceeds", "gross", "total", "value", "quote"],
        &["fee", "fees", "quantity", "currency", "asset", "id", "count", "risk"],
    ),
    known(
        Role::Quantity,
        &[
            "quantity",
            "qty",
            "amount",
            "size",
            "shares",
            "lotsize",
            "lots",
            "units",
            "volume",
            "contracts",
            "filledqty",
            "filledquantity",
            "executedqty",
            "executedquantity",
            "baseamount",
            "basequantity",
            "tradesize",
            "amount*",
        ],
        &["quantity", "qty", "shares", "size", "lots", "units", "contracts", "volume", "amount"],
        &["fee", "fees", "total", "risk", "min", "max", "remaining", "quote", "value", "tick", "id"],
    ),
    known(
        Role::Price,
        &[
            "price",
            "executedprice",
            "executionprice",
            "fillprice",
            "tradeprice",
            "avgprice",
            "averageprice",
            "entryprice",
            "rate",
            "unitprice",
            "pricepershare",
            "exchangerate",
            "px",
            "price*",
        ],
        &["price", "px", "rate"],
        LIMITS,
    ),
    known(
        Role::Status,
        &["status", "state", "tradestatus", "executionstatus", "settlementstatus"],
        &["status", "state"],
        &["code", "message"],
    ),
    known(
        Role::ExecutedAt,
        &[
            "executedat",
            "executiontime",
            "filledat",
            "tradedat",
            "openedat",
            "tradetime",
            "tradedate",
            "executedon",
            "transacttime",
            "timestamp",
            "ts",
            "time",
            "date",
            "at",
            "matchedat",
            "occurredat",
        ],
        &["executed", "execution", "filled", "fill", "traded", "trade", "matched", "opened", "transact", "occurred"],
        &["price", "updated", "created", "count"],
    ),
    known(
        Role::CreatedAt,
        &["createdat", "created", "insertedat", "createdon", "createdate", "creationtime", "datecreated", "recordedat"],
        &["created", "inserted", "recorded"],
        &["by"],
    ),
    known(
        Role::UpdatedAt,
        &["updatedat", "updated", "modifiedat", "lastmodified", "updatedon", "lastupdated", "changedat"],
        &["updated", "modified", "changed"],
        &["by"],
    ),
    known(
        Role::Ip,
        &["ip", "ipaddress", "clientip", "remoteip", "sourceip", "ipaddr", "remoteaddr", "originip"],
        &["ip", "ipaddress"],
        &[],
    ),
    known(
        Role::Destination,
        &[
            "destination",
            "destinationaddress",
            "toaddress",
            "withdrawaddress",
            "destinationaccount",
            "beneficiary",
            "payoutaddress",
            "destinationwallet",
        ],
        &["destination", "beneficiary", "payout", "recipient"],
        &["type", "fee"],
    ),
    known(Role::Session, &["sessionid", "session", "requestid", "correlationid"], &["session"], &[]),
    // Known, and of no use to any check.
    known(Role::User, &["userid", "user", "traderid", "createdby", "placedby"], &[], &[]),
    known(Role::Portfolio, &["portfolioid", "portfolio", "strategyid", "botid", "modelid", "subaccountid"], &[], &[]),
    known(
        Role::ExternalRef,
        &["externalref", "externalid", "exchangetradeid", "brokertradeid", "reference", "ref", "clientref"],
        &["external", "reference"],
        &[],
    ),
    known(Role::CounterFee, &["sellerfee", "makerfee"], &[], &[]),
    known(Role::StopPrice, &["stoploss", "stopprice", "sl"], &["stop"], &[]),
    known(Role::TargetPrice, &["takeprofit", "targetprice", "limitprice", "tp"], &["target", "take"], &[]),
    known(Role::Risk, &["riskamount", "risk", "leverage", "margin"], &["risk", "leverage", "margin"], &[]),
    known(Role::Profit, &["pnl", "profit", "realizedpnl", "profitloss"], &["pnl", "profit"], &[]),
    known(
        Role::ClosedAt,
        &["closedat", "settledat", "settlementdate", "exitat"],
        &["closed", "settled", "settlement"],
        &[],
    ),
    known(
        Role::Note,
        &["notes", "note", "comment", "comments", "description", "memo"],
        &["note", "notes", "comment", "memo"],
        &[],
    ),
    known(Role::Currency, &["currency", "quotecurrency", "feecurrency", "feeasset"], &["currency"], &[]),
];

/// Lower-case words of a name in `camelCase`, `PascalCase`, `snake_case` or `kebab-case`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut last = ' ';
    for letter in name.chars() {
        if !letter.is_alphanumeric() {
            last = ' ';
            continue;
        }
        let starts = last == ' ' || (letter.is_uppercase() && !last.is_uppercase());
        match found.last_mut() {
            Some(word) if !starts => word.extend(letter.to_lowercase()),
            _ => found.push(letter.to_lowercase().collect()),
        }
        last = letter;
    }
    found
}

/// Whether the name names a thing (`orderId`), not a property of it.
pub(super) fn names_an_id(words: &[String]) -> bool {
    words.len() == 1 || words.last().is_some_and(|last| IDS.contains(&last.as_str()))
}
